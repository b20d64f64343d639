"""Redis as a reader of ours: how fast the projector ships to it, and a server that can be stopped or slow while clicks are answered."""

import asyncio
import re
import signal
import subprocess
import threading

from harness import ROOT, Scratch, free_port, tool, wait_port

LINES = {
    "redis_benchmark_xadd_per_second": r"^redis-benchmark .*?([\d.]+) requests per second",
    "made_per_second": r"^live: (\d+) records/s made",
    "live_per_second": r"^live: .* (\d+) records/s in redis",
    "backlog_per_second": r"^backlog: (\d+) records/s",
    "outage_records_behind": r"^outage .*: (\d+) records behind",
    "outage_caught_up_in": r"caught up in ([\d.]+m?s)",
    "rss_mib_before": r"(\d+) MiB resident before",
    "rss_mib_most": r"before, (\d+) at most",
    "bytes_event": r"^events: .* ([\d.]+) bytes each",
    "bytes_mail": r"^mail: .* ([\d.]+) bytes each",
    "bytes_first_visit": r"^visit: .* ([\d.]+) bytes each",
}


def redis(args):
    """Events a second through journal, state and projector into Redis, beside redis-benchmark's XADD; an outage and its end."""
    tool("redis-benchmark")
    with Scratch("redis") as scratch:
        command = ["cargo", "run", "--release", "--quiet", "-p", "store", "--example", "redis_rate", "--", str(scratch.dir / "rate"),
                   str(args.outage_seconds), str(args.outage_rate), str(args.events)]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800 + 3 * args.outage_seconds)
    if told.returncode != 0:
        raise RuntimeError(told.stderr)
    figures = {name: re.search(pattern, told.stdout, re.MULTILINE).group(1) for name, pattern in LINES.items()}
    figures = {name: value if value.endswith("s") else float(value) for name, value in figures.items()}
    figures["outage_seconds"], figures["outage_rate"] = args.outage_seconds, args.outage_rate
    figures["live_ratio_to_redis_benchmark"] = figures["live_per_second"] / figures["redis_benchmark_xadd_per_second"]
    return figures


class Redis:
    """A redis-server behind a relay that answers late if it is told to."""

    def __init__(self, scratch):
        self.server, self.port, self.delay = free_port(), free_port(), 0.0
        self.child = scratch.spawn([tool("redis-server"), "--port", str(self.server), "--bind", "127.0.0.1", "--save", ""], "redis.log")
        wait_port(self.server)
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        wait_port(self.port)

    def stop(self):
        self.child.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    async def _serve(self):
        await (await asyncio.start_server(self._relay, "127.0.0.1", self.port)).serve_forever()

    async def _relay(self, reader, writer):
        to, back = await asyncio.open_connection("127.0.0.1", self.server)
        await asyncio.gather(self._copy(reader, back, late=False), self._copy(to, writer, late=True), return_exceptions=True)

    async def _copy(self, reader, writer, late):
        """Copies until either side ends. A late answer does not make those behind it wait for it twice."""
        loop = asyncio.get_running_loop()
        waiting = asyncio.Queue(1024)

        async def write():
            while chunk := await waiting.get():
                due, data = chunk
                await asyncio.sleep(max(0.0, due - loop.time()))
                writer.write(data)
                await writer.drain()
            writer.close()

        writing = asyncio.create_task(write())
        try:
            while data := await reader.read(1 << 16):
                await waiting.put((loop.time() + (self.delay if late else 0.0), data))
        finally:
            await waiting.put(None)
            await writing
