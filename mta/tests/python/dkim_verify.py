"""Verifies DKIM signatures with dkimpy.

stdin: JSON list of {"message": base64, "records": {DNS name: TXT value}, "now": seconds since 1970}.
stdout: JSON list with, per message, a list with one entry per signature: the signed field names in lower case if the
signature verifies, null if it does not.
"""

import base64
import json
import sys

import dkim


class Clock:
    """Stands in for the module `time` inside dkimpy, so that a fixed message does not expire."""

    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now


def verdicts(case):
    message = base64.b64decode(case["message"])
    records = case["records"]

    def lookup(name, timeout=5):
        value = records.get(name.decode().rstrip("."))
        return value.encode() if value is not None else None

    dkim.time = Clock(case["now"])
    header = message.split(b"\r\n\r\n", 1)[0]
    signatures = sum(1 for line in header.split(b"\r\n") if line.lower().startswith(b"dkim-signature:"))
    found = []
    for index in range(signatures):
        verifier = dkim.DKIM(message, minkey=2048)
        try:
            good = verifier.verify(idx=index, dnsfunc=lookup)
        except dkim.DKIMException:
            good = False
        names = verifier.signature_fields[b"h"] if good else b""
        names = b"".join(names.split()).decode().lower().split(":")
        found.append(names if good else None)
    return found


json.dump([verdicts(case) for case in json.load(sys.stdin)], sys.stdout)
