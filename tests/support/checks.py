"""What every suite of cases in Python shares: the table of cases, and how one of them fails."""
import os
import shutil
from collections import Counter

CASES = {}
SKIPPED = 77  # exit status, known to ctest


class Failure(Exception):
    pass


class Skipped(Exception):
    pass


def case(function):
    CASES[function.__name__] = function
    return function


def check(condition, text):
    if not condition:
        raise Failure(text)


def shown(value, most=300):
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."


def equal(found, expected, what):
    check(found == expected, f"{what}: {shown(found)} instead of {shown(expected)}")


def check_counts(ledger):
    """Every call that came by is accounted for, and none of them was dropped."""
    for name, c in ledger["classes"].items():
        equal(c["seen"], c["recorded"] + c["filtered"] + c["dropped"], f"ledger of {name}")
        equal(c["dropped"], 0, f"dropped {name} records")


def clean_environment(*prefixes):
    """This process's, without what would steer an engine, or orchtrace."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "LD_", *prefixes))}


def run_cases(run, wanted=()):
    """Calls run(case) for each case, or for those wanted; what it returns stands behind "ok". The exit status."""
    counts = Counter()
    for name, function in CASES.items():
        if wanted and name not in wanted:
            continue
        try:
            note = run(function)
            print(f"ok {name}{note or ''}", flush=True)
            counts["passed"] += 1
        except Skipped as why:
            print(f"skipped {name}: {why}", flush=True)
            counts["skipped"] += 1
        except Exception as why:  # a runner's own error is a failure of the case
            kind = "" if isinstance(why, Failure) else f"{type(why).__name__}: "
            print(f"FAIL {name}: {kind}{why}", flush=True)
            counts["failed"] += 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    if counts["failed"]:
        return 1
    return SKIPPED if counts["skipped"] and not counts["passed"] else 0


def run_cases_with(bench, wanted=()):
    """All with one bench, whose directory `bench.dir` stays if a case fails."""
    status = run_cases(lambda function: function(bench), wanted)
    if status != 1:
        shutil.rmtree(bench.dir)
    return status


def if_numpy(run):
    """run(), which imports what needs numpy: Debian's Python has it, others may not. The exit status."""
    try:
        return run()
    except ImportError as missing:
        if missing.name != "numpy":
            raise
        print("skipped: this Python has no numpy")
        return SKIPPED
