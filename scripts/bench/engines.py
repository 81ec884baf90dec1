#!/usr/bin/python3
"""Speed of real engines with and without the library, interleaved in one run.

usage: engines.py --lib LIBORCHTRACE --model DIR [--rounds N] [--only llama|torch] [--json OUT]

Every round runs each mode once, in a fresh process, in an order that changes. Two ratios: the
median over rounds of (its speed / the untraced speed of the same round), and its best speed / the
best untraced speed. "empty library" preloads a library with nothing in it: some engines run at one
of two speeds, by where their memory happens to lie, and preloading anything at all changes that.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENGINES = HERE.parent / "engines"
PROMPT = "The quick brown fox jumps over the lazy dog. "

# mode -> ORCH_TRACE_CHECKPOINTS (None: the library is not loaded; "": default), and the ratio to reach
LLAMA_MODES = {
    "untraced": (None, None), "empty library": ("empty", None), "loaded, off": ("off", None), "logits": ("logits", 0.99),
    "layers": ("layers", 0.97), "default": ("", 0.93), "all named nodes": ("all", 0.80)}
TORCH_MODES = {"untraced": (None, None), "empty library": ("empty", None), "loaded, off": ("off", None),
               "default": ("", 0.95)}


def environment(lib, checkpoints, directory):
    env = dict(os.environ)
    for name in [n for n in env if n.startswith(("ORCH_", "LD_PRELOAD"))]:
        del env[name]
    if checkpoints is None:
        return env
    env["LD_PRELOAD"] = str(lib)
    if checkpoints == "empty":
        env["LD_PRELOAD"] = f"{directory}/empty.so"
    elif checkpoints != "off":
        env["ORCH_LOG_FILE"] = f"{directory}/trace-%p.jsonl"
        if checkpoints:
            env["ORCH_TRACE_CHECKPOINTS"] = checkpoints
    return env


def run(command, env):
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"engines.py: {' '.join(map(str, command))} failed: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def llama_speed(model, env, threads):
    result = run(["node", ENGINES / "llama.cpp/run.mjs", "--model", model / "model.gguf", "--prompt",
                  PROMPT, "--generate", "48", "--threads", str(threads), "--bench", "4"], env)
    return statistics.median(result["runs"][1:]), result["tokens"]  # the first run meets cold caches


def torch_speed(model, env, threads):
    result = run([ENGINES / "torch/llama.py", "--model", model, "--prompt", (PROMPT * 9)[:255],
                  "--generate", "1", "--threads", str(threads), "--bench", "6", "--prefill-only"], env)
    return 1000.0 / statistics.median(result["runs"][1:]), result.get("tokens")


def measure(name, speed, modes, lib, model, rounds, threads):
    samples = {mode: [] for mode in modes}
    outputs = {}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", f"{directory}/empty.so"],
                       check=True)
        for number in range(rounds):
            order = list(modes)
            random.Random(number).shuffle(order)
            for mode in order:
                value, tokens = speed(model, environment(lib, modes[mode][0], directory), threads)
                samples[mode].append(value)
                outputs.setdefault(json.dumps(tokens), []).append(mode)
                for trace in Path(directory).glob("*.jsonl"):
                    trace.unlink()
            print(f"{name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    if len(outputs) > 1:
        sys.exit(f"engines.py: {name}: the library changed the output: {outputs}")
    rows = []
    for mode, (_, target) in modes.items():
        ratios = [a / b for a, b in zip(samples[mode], samples["untraced"])]
        rows.append({"engine": name, "mode": mode, "speed": round(statistics.median(samples[mode]), 2),
                     "ratio": round(statistics.median(ratios), 3),
                     "best": round(max(samples[mode]) / max(samples["untraced"]), 3),
                     "spread": [round(min(ratios), 3), round(max(ratios), 3)], "target": target})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["llama", "torch"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    arguments = (options.lib.resolve(), options.model, options.rounds, options.threads)
    if options.only != "torch":
        rows += measure("llama.cpp decode, tokens/s", llama_speed, LLAMA_MODES, *arguments)
    if options.only != "llama":
        rows += measure("PyTorch prefill of 256, 1/s", torch_speed, TORCH_MODES, *arguments)
    print("| engine | mode | median speed | median ratio | min..max | best to best | target |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['engine']} | {row['mode']} | {row['speed']} | {row['ratio']} | "
              f"{row['spread'][0]}..{row['spread'][1]} | {row['best']} | {row['target'] or ''} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


main()
