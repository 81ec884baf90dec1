"""One line per check, and how many failed."""
import numpy as np

failures = 0
comparisons = 0


def check(name, problem=""):
    """`problem` says what is wrong; empty: nothing."""
    global failures
    failures += bool(problem)
    print(f"not ok {name}: {problem}" if problem else f"ok {name}", flush=True)


def same(name, got, wanted):
    """Says something only if they differ: there are hundreds of these."""
    global comparisons
    comparisons += 1
    equal = got == wanted if isinstance(got, (list, str)) else np.array_equal(got, wanted)
    if not equal:
        check(name, f"{got} in the trace, {wanted} by the document")
