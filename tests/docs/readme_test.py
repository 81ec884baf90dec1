#!/usr/bin/python3
"""README.md's table of settings against core/config.cpp, and its paths against the tree.

usage: readme_test.py ROOT
"""
import re
import sys
from pathlib import Path


def main():
    root = Path(sys.argv[1])
    readme = (root / "README.md").read_text()
    code = (root / "core/config.cpp").read_text()
    failed = []
    variables = re.findall(r'ConfigVariable\{\s*"(ORCH_\w+)",\s*"[^"]*",\s*"([^"]*)"', code)
    rows = dict(re.findall(r"^\| `(ORCH_\w+)` \|[^|]*\| ([^|]*) \|", readme, re.M))
    if sorted(rows) != sorted(name for name, _ in variables) or not rows:
        failed.append(f"variables in the table: {sorted(rows)}")
    for name, fallback in variables:
        shown = rows.get(name, "").strip("` ")
        if fallback and shown not in (fallback, fallback.replace(" name", "")):
            failed.append(f"{name}: the default is {fallback!r}, the README says {shown!r}")
    for path in re.findall(r"\]\(([\w./-]+)\)", readme) + re.findall(r"`((?:scripts|include|core|docs)/[\w./-]+)`", readme):
        if not (root / path).exists():
            failed.append(f"no such path: {path}")
    for command in re.findall(r"^    (scripts/\w+)", readme, re.M):
        if not (root / command).exists():
            failed.append(f"no such command: {command}")
    for line in failed:
        print(f"FAIL {line}")
    print(f"{len(variables) - len(failed)} settings checked, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
