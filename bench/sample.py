"""Takes one mail as the service delivers it: a sink of a few lines that keeps what it is sent."""

import socket
import threading


def take(scratch, port, start):
    """Starts the service by `start`, posts one order, and returns its mail."""
    kept = []
    listener = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=_serve, args=(listener, kept), daemon=True)
    thread.start()
    service = start()
    service.load("orders", "--orders", "1", "--connections", "1", "--run", "sample", "--domains", "a.load.test")
    thread.join(30)
    listener.close()
    service.stop()
    if not kept:
        raise RuntimeError("no mail came")
    return kept[0]


def _serve(listener, kept):
    peer, _ = listener.accept()
    lines = peer.makefile("rwb", buffering=0)
    lines.write(b"220 sink\r\n")
    body = None
    for line in iter(lines.readline, b""):
        if body is not None:
            if line == b".\r\n":
                kept.append(b"".join(body))
                lines.write(b"250 taken\r\n")
                return
            body.append(line[1:] if line.startswith(b"..") else line)
        elif line.upper().startswith(b"DATA"):
            body = []
            lines.write(b"354 go\r\n")
        else:
            lines.write(b"250 ok\r\n")
