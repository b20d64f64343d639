"""Timers and workflows: the wheel beside its peers, durable timers by the million, and what a contact's way costs."""

import subprocess

from harness import ROOT, Scratch


def example(package, name, *arguments):
    """Runs one of our own measuring programs; what it prints is the figure."""
    command = ["cargo", "run", "--release", "--quiet", "-p", package, "--example", name, "--", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return ended.stdout.splitlines() or [ended.stderr]


def timers(args):
    """The hot wheel beside hierarchical_hash_wheel_timer, DelayQueue, a heap and a Redis sorted set; then disk and runners."""
    wheel = subprocess.run(["cargo", "bench", "--quiet", "-p", "scheduler", "--bench", "wheel"], cwd=ROOT, capture_output=True, text=True, check=True)
    figures = {"wheel": wheel.stdout.splitlines()}
    with Scratch("timers") as scratch:
        # It ends as a kill does, so the second run is the recovery.
        figures["durable"] = example("store", "timer_rate", scratch.dir / "rate", args.timer_millions)
        figures["recovery"] = example("store", "timer_rate", scratch.dir / "rate", args.timer_millions, "recover")
    with Scratch("workflows") as scratch:
        figures["workflows"] = example("scheduler", "workflow_rate", scratch.dir / "rate", args.contacts)
    return figures
