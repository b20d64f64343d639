"""Parses mails with Python's email package (policy.default), an implementation that is not ours.

stdin: JSON list of base64 messages. stdout: JSON list of what each says.
"""

import base64
import email
import email.header
import email.policy
import email.utils
import json
import sys


def mailbox(message, source, name):
    header = message[name]
    if header is None:
        return None
    (address,) = header.addresses
    display_name = address.display_name
    raw = "".join(source[name].splitlines())
    if "=?" in raw:
        # The new parser keeps the blanks between adjacent encoded words of a name (RFC 2047 section 6.2 drops them), and
        # collapses those inside one; the old decoder does neither.
        encoded, _ = email.utils.parseaddr(raw)
        display_name = str(email.header.make_header(email.header.decode_header(encoded)))
    return [display_name, address.addr_spec]


def part(message, subtype):
    found = message.get_body(preferencelist=(subtype,))
    if found is None:
        return None
    # The package keeps CR LF in what it decodes from quoted-printable.
    return found.get_payload(decode=True).decode(found.get_content_charset()).replace("\r\n", "\n")


def read(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    source = email.message_from_bytes(raw, policy=email.policy.compat32)
    return {
        "fields": [name for name, _ in message.items()],
        "from": mailbox(message, source, "From"),
        "to": mailbox(message, source, "To"),
        "reply_to": mailbox(message, source, "Reply-To"),
        "subject": message["Subject"],
        "date": message["Date"].datetime.timestamp(),
        "message_id": message["Message-ID"],
        "list_unsubscribe": message["List-Unsubscribe"],
        "text": part(message, "plain"),
        "html": part(message, "html"),
        "defects": [
            str(defect)
            for found in [message, *message.iter_parts()]
            for defect in [*found.defects, *(d for value in found.values() for d in getattr(value, "defects", ()))]
        ],
    }


json.dump([read(base64.b64decode(raw)) for raw in json.load(sys.stdin)], sys.stdout)
