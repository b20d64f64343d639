"""What every figure needs: scratch folders, child processes, CPU and memory from /proc, and Postfix's smtp-sink.

Python standard library only. Everything listens on 127.0.0.1; only processes started here are ended, by their id.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def tool(name):
    """The program's path, also from the sbin folders."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise SystemExit(f"{name} is missing: run `make bench-setup`")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"port {port} did not open within {seconds} s")


class Scratch:
    """A folder and the processes that were started in it; both end with the `with` block."""

    def __init__(self, name):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"staffetta-bench-{name}-", dir=os.environ.get("BENCH_DIR")))
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            stop(child)
        shutil.rmtree(self.dir, ignore_errors=True)

    def spawn(self, args, log, env=None):
        out = open(self.dir / log, "ab")
        child = subprocess.Popen(args, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.dir,
                                 env={**os.environ, **(env or {})})
        self.children.append(child)
        return child


def stop(child, seconds=30):
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def descendants(pid):
    """The process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
                children.setdefault(int(stat[1]), []).append(int(entry))
            except OSError:
                pass
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(*pids):
    """User and system seconds of the processes, with those of children they have waited for."""
    total = 0
    for pid in pids:
        try:
            stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(stat[field]) for field in (11, 12, 13, 14))
    return total / TICKS


def rss_bytes(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * PAGE


class Sink:
    """Postfix's smtp-sink, which counts what it takes."""

    def __init__(self, scratch, name="sink"):
        self.port = free_port()
        self.path = scratch.dir / f"{name}.log"
        self.child = scratch.spawn(
            ["stdbuf", "-o0", tool("smtp-sink"), "-u", "nobody", "-c", "-m", "1000", f"127.0.0.1:{self.port}", "1000"],
            f"{name}.log")
        wait_port(self.port)

    def count(self):
        """Messages taken so far: smtp-sink -c writes running totals, the newest last."""
        with open(self.path, "rb") as log:
            log.seek(max(0, os.path.getsize(self.path) - 4096))
            totals = re.findall(rb"mesg=(\d+)\s", log.read())
        return int(totals[-1]) if totals else 0

    def wait_for(self, count, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.count() >= count:
                return time.monotonic()
            time.sleep(0.02)
        raise RuntimeError(f"the sink took {self.count()} of {count} messages within {seconds} s")
