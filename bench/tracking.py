"""Clicks and pixels: CPU from listener to append, beside nginx's for the same answers, in the same run.

Every request is of a token of its own mail, as far as the mails reach, and is recorded durably. Only the servers' CPU counts,
by thread: what answers and what appends is set beside nginx; folding, state and the projection are told apart.
"""

import json
import os
import subprocess
import time

from harness import TICKS, Scratch, free_port, rss_bytes, wait_port
from nginx import Nginx
from redis import Redis
from staffetta import DOMAINS, LOADTEST, Staffetta

HOST = "track.localhost"
# From the listener to the append: the runtime's threads and the commit's. The rest is told apart.
GROUPS = {"listener_to_append": ("tokio", "store-commit", "store-spool-syn", "staffetta"), "runners": ("runner-",),
          "state": ("store-state",), "projector": ("store-redis", "projector")}


def thread_seconds(pid):
    """User and system seconds of each thread, summed by group."""
    seconds = dict.fromkeys([*GROUPS, "other"], 0.0)
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            head, tail = open(f"/proc/{pid}/task/{task}/stat").read().rsplit(")", 1)
        except OSError:
            continue
        name, fields = head.split("(", 1)[1], tail.split()
        group = next((group for group, names in GROUPS.items() if name.startswith(names)), "other")
        seconds[group] += (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def certificate(scratch):
    """One self-signed ECDSA P-256 certificate, for us and for nginx."""
    folder = scratch.dir / "certificates"
    folder.mkdir()
    key, chain, both = scratch.dir / "key.pem", scratch.dir / "chain.pem", folder / f"{HOST}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-addext",
                    "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", chain],
                   check=True, capture_output=True)
    both.write_bytes(chain.read_bytes() + key.read_bytes())
    return folder, both, chain


class Bench:
    def __init__(self, scratch, args, settings=""):
        self.scratch, self.args = scratch, args
        folder, both, self.chain = certificate(scratch)
        sink, self.tls = free_port(), free_port()
        self.paths = scratch.dir / "paths"
        links = scratch.spawn([str(LOADTEST), "links", "--sink", f"127.0.0.1:{sink}", "--mails", str(args.mails),
                               "--paths", str(self.paths)], "links.log")
        wait_port(sink)
        self.service = Staffetta(scratch, sink, "ed25519", f'[tracker]\ncertificates = "{folder}"\n{settings}',
                                 listen=f'tracker_tls = "127.0.0.1:{self.tls}"')
        self.service.load("orders", "--orders", str(args.mails), "--connections", "64", "--domains", DOMAINS)
        if links.wait(600) != 0:
            raise RuntimeError((scratch.dir / "links.log").read_text())
        self.nginx = Nginx(scratch, both)

    def ours(self, requests, *arguments):
        """Our answers, with the CPU of each group per million requests, once everything is folded."""
        pid = self.service.child.pid
        dropped = self.service.metric("tracker_events_total", 'fate="dropped"')
        before, figures = thread_seconds(pid), self._load(self.service.tracker, self.tls, requests, *arguments)
        self._settle(pid)
        after = thread_seconds(pid)
        million = 1e6 / figures["requests"]
        figures["cpu_seconds_per_million"] = {group: (after[group] - before[group]) * million for group in before}
        figures["dropped"] = self.service.metric("tracker_events_total", 'fate="dropped"') - dropped
        return figures

    def theirs(self, requests, *arguments):
        before = sum(sum(thread_seconds(pid).values()) for pid in self.nginx.pids())
        figures = self._load(f"127.0.0.1:{self.nginx.plain}", self.nginx.tls, requests, *arguments)
        after = sum(sum(thread_seconds(pid).values()) for pid in self.nginx.pids())
        figures["cpu_seconds_per_million"] = (after - before) * 1e6 / figures["requests"]
        return figures

    def _load(self, plain, tls, requests, *arguments):
        arguments = [*arguments, "--requests", str(requests)]
        if "--tls" in arguments:
            arguments.remove("--tls")
            arguments += ["--tls", str(self.chain)]
            plain = f"127.0.0.1:{tls}"
        ended = subprocess.run([str(LOADTEST), "clicks", "--address", plain, "--host", HOST, "--paths", str(self.paths), *arguments],
                               capture_output=True, text=True, timeout=900)
        if ended.returncode != 0:
            raise RuntimeError(ended.stderr)
        return json.loads(ended.stdout)

    def _settle(self, pid):
        """Waits until the service rests: what was appended is folded and in state."""
        last = -1.0
        for _ in range(120):
            now = sum(thread_seconds(pid).values())
            if now - last < 0.02:
                return
            last = now
            time.sleep(0.5)


def tracking(args):
    """Redirects and pixels on kept connections and on fresh TLS 1.3 ones, interleaved with nginx; server time at half load,
    also with Redis up, 200 ms away and stopped."""
    shapes = {
        "pixel_kept": (args.clicks, ["--only", "/o/", "--status", "200"]),
        "redirect_kept": (args.clicks, ["--only", "/c/", "--status", "302"]),
        "redirect_fresh_tls": (args.clicks // 20, ["--only", "/c/", "--status", "302", "--fresh", "--tls"]),
    }
    with Scratch("tracking") as scratch:
        bench = Bench(scratch, args)
        figures = {"mails": args.mails, "rounds": []}
        for _, shape in shapes.values():
            bench.ours(2000, *shape)
        for _ in range(args.rounds):
            figures["rounds"].append({name: {"staffetta": bench.ours(count, *shape), "nginx": bench.theirs(count, *shape)}
                                      for name, (count, shape) in shapes.items()})
        for name in shapes:
            rounds = [round[name] for round in figures["rounds"]]
            median = lambda values: sorted(values)[len(values) // 2]
            ours = lambda group: median([round["staffetta"]["cpu_seconds_per_million"][group] for round in rounds])
            figures[name] = {
                "cpu_seconds_per_million": {group: ours(group) for group in [*GROUPS, "other"]},
                "nginx_cpu_seconds_per_million": median([round["nginx"]["cpu_seconds_per_million"] for round in rounds]),
                "ratio": median([round["staffetta"]["cpu_seconds_per_million"]["listener_to_append"]
                                 / round["nginx"]["cpu_seconds_per_million"] for round in rounds]),
                "requests_per_second": median([round["staffetta"]["requests_per_second"] for round in rounds]),
                "nginx_requests_per_second": median([round["nginx"]["requests_per_second"] for round in rounds]),
                "dropped": sum(round["staffetta"]["dropped"] for round in rounds),
            }
        rate = figures["redirect_kept"]["requests_per_second"] / 2
        figures["half_load"] = half_load(bench, args, rate)
        figures["rss_mib"] = rss_bytes(bench.service.child.pid) / 2**20
    with Scratch("tracking-redis") as scratch:
        redis = Redis(scratch)
        bench = Bench(scratch, args, f'[redis]\nurl = "redis://127.0.0.1:{redis.port}"\n')
        figures["half_load_redis_up"] = half_load(bench, args, rate)
        redis.delay = 0.2
        figures["half_load_redis_slow"] = half_load(bench, args, rate)
        redis.stop()
        figures["half_load_redis_stopped"] = half_load(bench, args, rate)
        redis.go_on()
    return figures


def half_load(bench, args, rate):
    """Redirects at a fixed rate, with the server's own time for 99 of 100."""
    before = server_times(bench.service)
    shape = ["--only", "/c/", "--status", "302", "--rate", str(rate)]
    figures = bench.ours(int(rate * args.half_load_seconds), *shape)
    figures["server_p99_at_most_ms"] = quantile(before, server_times(bench.service), 0.99) * 1000
    return figures


def server_times(service):
    """The histogram of clicks' server time: upper bound and count, rising."""
    buckets = []
    for line in service.ask("GET", "/metrics", address=service.admin).decode().splitlines():
        if line.startswith("tracker_request_seconds_bucket") and 'endpoint="click"' in line:
            bound = line.split('le="', 1)[1].split('"', 1)[0]
            buckets.append((float(bound), float(line.rsplit(" ", 1)[1])))
    return sorted(buckets)


def quantile(before, after, share):
    """The upper bound of the bucket that the quantile of what came between lies in."""
    counts = [(bound, count - earlier) for (bound, count), (_, earlier) in zip(after, before)]
    return next(bound for bound, count in counts if count >= share * counts[-1][1])
