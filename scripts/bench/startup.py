#!/usr/bin/python3
"""What the library adds to the start of a process that computes nothing, interleaved.

usage: startup.py LIBORCHTRACE [RUNS]
"""
import os
import statistics
import sys
import time


def spawn(env):
    start = time.perf_counter_ns()
    pid = os.posix_spawn("/bin/true", ["true"], env)
    os.waitpid(pid, 0)
    return (time.perf_counter_ns() - start) / 1000


def main():
    library = os.path.abspath(sys.argv[1])
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    modes = {
        "without": {}, "loaded, off": {"LD_PRELOAD": library},
        "loaded, on": {"LD_PRELOAD": library, "ORCH_LOG_FILE": "/tmp/orchtrace-startup.jsonl"}}
    times = {mode: [] for mode in modes}
    for _ in range(runs):
        for mode, env in modes.items():
            times[mode].append(spawn(env))
    base = statistics.median(times["without"])
    print("| process start | median, us | added, us | target |\n|---|---|---|---|")
    for mode in modes:
        median = statistics.median(times[mode])
        print(f"| {mode} | {median:.0f} | {median - base:+.0f} | {'' if mode == 'without' else '60'} |")
    if os.path.exists("/tmp/orchtrace-startup.jsonl"):
        sys.exit("a process that computed nothing wrote a trace")


main()
