"""A second implementation of docs/formats/token.md, written from that page with the standard library alone.

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


def field(vector: dict, name: str) -> int:
    # Message ids are 64 bits and stand in hex, since many JSON readers lose the last bits of such numbers.
    return int(vector[name], 16) if name == "message" else vector[name]


def main() -> None:
    path = sys.argv[1]
    page = open(path, encoding="utf-8").read()
    block = re.search(r"^```json\n(.*?)^```$", page, re.S | re.M)
    vectors = json.loads(block.group(1))
    compute = lambda v: return_path(v) if v["kind"] == "return_path" else token(v)
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
