"""What every suite of cases in Python shares: the table of cases, and how one of them fails."""
CASES = {}


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
