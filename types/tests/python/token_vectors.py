"""A second implementation of docs/formats/token.md, written from that page; AES-GCM-SIV is that of `cryptography`.

usage: token_vectors.py docs/formats/token.md           check the page's vectors
       token_vectors.py docs/formats/token.md --write   compute their tokens anew (after a change of layout)
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

# kind: (first byte, struct of the fields behind the key id, names of the fields, bytes of MAC)
LAYOUTS = {
    "click": (0x11, ">QHIIBB", ["message", "partition", "campaign", "shop", "slot", "flags"], 10),
    "pixel": (0x12, ">QHIH", ["message", "partition", "shop", "flags"], 8),
    "unsubscribe": (0x13, ">QHIB", ["message", "partition", "shop", "scope"], 16),
    "aggregate_click": (0x14, ">IIHB", ["campaign", "shop", "day", "slot"], 10),
    "aggregate_pixel": (0x15, ">IH", ["shop", "day"], 8),
}


def sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def token(vector: dict) -> str:
    tag, layout, names, mac_len = LAYOUTS[vector["kind"]]
    root, key_id, host = bytes.fromhex(vector["root"]), vector["key_id"], vector["host"]
    fields = bytes([tag, key_id]) + struct.pack(layout, *(field(vector, name) for name in names))
    key = sha256(root, b"staffetta token" + bytes([tag, key_id, 1]))
    mac = sha256(key, fields + host.lower().encode("ascii"))
    return base64.urlsafe_b64encode(fields + mac[:mac_len]).rstrip(b"=").decode()


def return_path(vector: dict) -> str:
    root, domain = bytes.fromhex(vector["root"]), vector["host"].lower()
    fields = struct.pack(">BQH", 0x16, field(vector, "message"), vector["partition"])
    key = sha256(root, b"staffetta return path" + bytes([0x16, 1]))
    mac = sha256(key, fields + domain.encode("ascii"))
    name = base64.b32encode(fields + mac[:14]).decode().lower()
    return f"b-{name}@{domain}"


def click_id(vector: dict) -> str:
    root, clear = bytes.fromhex(vector["root"]), bytes([0x17, vector["key_id"]])
    names = ["click", "message", "partition", "campaign", "shop", "slot", "flags"]
    fields = struct.pack(">QQHIIBB", *(field(vector, name) for name in names))
    cipher = AESGCMSIV(sha256(root, b"staffetta token" + clear + b"\x01"))
    sealed = cipher.encrypt(bytes(12), fields, clear)
    assert cipher.decrypt(bytes(12), sealed, clear) == fields
    return base64.urlsafe_b64encode(clear + sealed).rstrip(b"=").decode()


def landing_secret(vector: dict) -> bytes:
    context = struct.pack(">BBI", 0x18, vector["key_id"], vector["shop"])
    return sha256(bytes.fromhex(vector["root"]), b"staffetta landing" + context + b"\x01")


def landing_signature(vector: dict) -> str:
    signed = f"{vector['id']}.{vector['timestamp']}.{vector['body']}".encode()
    return "v1," + base64.b64encode(sha256(landing_secret(vector), signed)).decode()


def visitor_key(vector: dict) -> str:
    own = sha256(bytes.fromhex(vector["root"]), b"staffetta visitor" + struct.pack(">I", vector["shop"]))
    return sha256(own, bytes.fromhex(vector["person"]))[:16].hex()


def field(vector: dict, name: str) -> int:
    # Ids are 64 bits and stand in hex, since many JSON readers lose the last bits of such numbers.
    return int(vector[name], 16) if name in ("click", "message") else vector[name]


OTHERS = {
    "return_path": return_path,
    "click_id": click_id,
    "landing_secret": lambda vector: "whsec_" + base64.b64encode(landing_secret(vector)).decode(),
    "landing_signature": landing_signature,
    "visitor_key": visitor_key,
}


def compute(vector: dict) -> str:
    return OTHERS.get(vector["kind"], token)(vector)


def main() -> None:
    path = sys.argv[1]
    page = open(path, encoding="utf-8").read()
    block = re.search(r"^```json\n(.*?)^```$", page, re.S | re.M)
    vectors = json.loads(block.group(1))
    if sys.argv[2:] == ["--write"]:
        for vector in vectors:
            vector["token"] = compute(vector)
        lines = ",\n".join(json.dumps(vector) for vector in vectors)
        page = page[: block.start(1)] + f"[\n{lines}\n]\n" + page[block.end(1) :]
        open(path, "w", encoding="utf-8").write(page)
        return
    wrong = [vector for vector in vectors if compute(vector) != vector["token"]]
    for vector in wrong:
        print(f"computed {compute(vector)} for {vector}", file=sys.stderr)
    if wrong or not vectors:
        sys.exit(1)
    print(f"{len(vectors)} vectors agree")


main()
