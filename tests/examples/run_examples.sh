#!/usr/bin/env bash
# Builds and runs every example alone and, when the path of liborchtrace.so is given, with that
# library injected; checks the records that come out, and that tracing changes nothing else.
#
#     run_examples.sh [liborchtrace.so]
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
library=${1:+$(realpath "$1")}
python=/usr/bin/python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

skip() { echo "SKIP  $1: $2"; }
fail() {
    echo "FAIL  $1: $2"
    failures=$((failures + 1))
}
have() { command -v "$1" >/dev/null 2>&1; }

# check NAME TRACE EXACT CHECKPOINT:COUNT:DTYPE:SHAPE...   EXACT=1: nothing else may be in the file
cat >"$work/check.py" <<'PYTHON'
import json, math, os, re, sys

path, exact, expected = sys.argv[1], sys.argv[2] == "1", sys.argv[3:]
keys = ["ts", "team", "checkpoint", "token_idx", "dtype", "shape", "values"]
if not expected and not os.path.exists(path):
    sys.exit()
text = open(path, encoding="utf-8").read()
assert text.endswith("\n"), "the last line is not whole"
def constant(name):
    raise ValueError(f"{name} is not JSON")
records = [json.loads(line, parse_constant=constant) for line in text.splitlines()]
total = 0
for item in expected:
    name, count, dtype, shape = item.split(":")
    mine = [r for r in records if r.get("checkpoint") == name]
    assert len(mine) == int(count), f"{name}: {len(mine)} records instead of {count}"
    assert [r["token_idx"] for r in mine] == list(range(len(mine))), f"{name}: token_idx"
    total += len(mine)
    for r in mine:
        assert [k for k in r if k in keys] == keys, f"{name}: keys {list(r)}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", r["ts"]), r["ts"]
        assert r["team"] == "toy", r["team"]
        assert (r["dtype"], r["shape"]) == (dtype, shape), f"{name}: {r['dtype']} {r['shape']}"
        size = math.prod(int(n) for n in re.findall(r"\d+", shape))
        assert len(r["values"]) == min(4, size), f"{name}: {len(r['values'])} values"
if exact:
    assert len(records) == total, f"{len(records)} records instead of {total}"

def first(name):
    return next((r for r in records if r.get("checkpoint") == name), None)
def near(name, values):
    r = first(name)
    if r is not None:
        assert all(abs(a - b) < 1e-2 for a, b in zip(r["values"], values)), f"{name}: {r['values']}"
if first("nonfinite"):
    r = first("nonfinite")
    assert r["values"] == [1, None, None, None], r
    assert r["nonfinite"] == [[1, "nan"], [2, "inf"], [3, "-inf"]], r
near("bits", [1, -2])
near("tokens", [1, 15043, 29892])
for kind in "numpy", "numpy_f16", "torch", "torch_bf16":
    near(kind, [0, 1 / 7, 2 / 7, 3 / 7])
for kind in "numpy_strided", "torch_strided":
    near(kind, [0, 4 / 7, 8 / 7, 1 / 7])
PYTHON

# run_case NAME ALONE COMMAND... -- EXPECTED...   ALONE=1: the example also writes without a library
run_case() {
    local name=$1 alone=$2 command=() reason
    shift 2
    while [ "$1" != -- ]; do
        command+=("$1")
        shift
    done
    shift
    local settings=(ORCH_LOG_TEAM=toy ORCH_LOG_VALUES=4) trace="$work/$name.jsonl"

    if ! env -u ORCH_LOG_FILE "${settings[@]}" "${command[@]}" >"$work/plain" 2>&1; then
        fail "$name" "off: $(tail -n 3 "$work/plain")"
        return
    fi
    if ! env ORCH_LOG_FILE="$trace" "${settings[@]}" "${command[@]}" >"$work/out" 2>&1; then
        fail "$name" "alone: $(tail -n 3 "$work/out")"
    elif ! cmp -s "$work/plain" "$work/out"; then
        fail "$name" "alone: it prints something else while it logs"
    elif [ "$alone" = 0 ] && [ -e "$trace" ]; then
        fail "$name" "alone: wrote a trace"
    elif [ "$alone" = 1 ] && ! reason=$("$python" "$work/check.py" "$trace" 1 "$@" 2>&1); then
        fail "$name" "alone: ${reason##*$'\n'}"
    else
        echo "ok    $name, alone"
    fi

    [ -n "$library" ] || return
    rm -f "$trace"
    if ! env LD_PRELOAD="$library" ORCH_LOG_FILE="$trace" "${settings[@]}" "${command[@]}" \
        >"$work/out" 2>&1; then
        fail "$name" "injected: $(tail -n 3 "$work/out")"
    elif ! cmp -s "$work/plain" "$work/out"; then
        fail "$name" "injected: it prints something else while it is traced"
    elif ! reason=$("$python" "$work/check.py" "$trace" 0 "$@" 2>&1); then
        fail "$name" "injected: ${reason##*$'\n'}"
    else
        echo "ok    $name, injected"
    fi
}

build() {
    local name=$1
    shift
    "$@" >"$work/build" 2>&1 && return
    fail "$name" "does not build: $(head -n 5 "$work/build")"
    return 1
}

[ -x "$python" ] || {
    skip everything "no $python to check the records with"
    exit 0
}
[ -n "$library" ] || skip "injected runs" "no path of liborchtrace.so given"
strict=(-O1 -Wall -Wextra -Wpedantic -Werror -I"$root/include")

layers=(layer_0_output:3:f32:'[1,16]' layer_1_output:3:f32:'[1,16]')
if have "${CC:-gcc}"; then
    # A program at a fixed address finds weak functions by other means than a PIE: try both.
    for mode in pie no-pie; do
        build "c-$mode" "${CC:-gcc}" -std=c99 "${strict[@]}" "-f$mode" "-$mode" \
            "$root/examples/c/main.c" -lm -o "$work/c-$mode" &&
            run_case "c-$mode" 0 "$work/c-$mode" -- embedding:3:f32:'[1,16]' "${layers[@]}"
    done
else
    skip c "no ${CC:-gcc}"
fi

if have "${CXX:-g++}"; then
    source="$root/examples/cpp/main.cpp"
    build cpp-off "${CXX:-g++}" -std=c++17 "${strict[@]}" "$source" -o "$work/cpp-off" &&
        run_case cpp-off 0 "$work/cpp-off" --
    for mode in pie no-pie; do
        build "cpp-$mode" "${CXX:-g++}" -std=c++17 "${strict[@]}" "-f$mode" "-$mode" \
            -DORCH_LOGGING "$source" -o "$work/cpp-$mode" -pthread &&
            run_case "cpp-$mode" 1 "$work/cpp-$mode" -- embedding:4:f32:'[1,32]' \
                layer_{0,1,2}_output:4:f32:'[1,32]' logits:4:f32:'[1,64]'
    done
    if [ -x "$work/cpp-off" ] && grep -q ORCH_LOG_FILE "$work/cpp-off"; then
        fail cpp-off "the logger is in a program that was built without it"
    fi
else
    skip cpp "no ${CXX:-g++}"
fi

if have rustc; then
    build rust rustc --edition 2021 -D warnings "$root/examples/rust/main.rs" -o "$work/rust" &&
        run_case rust 0 "$work/rust" -- embedding:3:f32:'[1,16]' "${layers[@]}" \
            logits:3:f64:'[1,16]'
else
    skip rust "no rustc"
fi

export PYTHONDONTWRITEBYTECODE=1
demo=("$python" "$root/examples/python/demo.py")
records=(embedding:3:f32:'[1,16]' "${layers[@]}" logits:3:f64:'[16]' nonfinite:1:f32:'[5]'
    bits:1:bf16:'[2]' tokens:1:f64:'[3]')
if "$python" -c 'import numpy' 2>/dev/null; then
    demo+=(numpy)
    records+=(numpy:1:f32:'[3,4]' numpy_strided:1:f32:'[4,3]' numpy_f16:1:f16:'[3,4]')
else
    skip "python, numpy arrays" "no numpy"
fi
if "$python" -c 'import torch' 2>/dev/null; then
    demo+=(torch)
    records+=(torch:1:f32:'[3,4]' torch_strided:1:f32:'[4,3]' torch_bf16:1:bf16:'[3,4]')
else
    skip "python, torch tensors" "no torch"
fi
run_case python 1 "${demo[@]}" -- "${records[@]}"

[ "$failures" = 0 ] || echo "$failures failed"
[ "$failures" = 0 ]
