"""Engines that end in every way, that fork, and that only inherit LD_PRELOAD."""
import os
import signal

from support import CASES, case, check, equal, let_run_until


def ends(how, status, products=5, more=0, **rest):
    def body(b):
        b.compare(["lc_engine", how, str(products)], gemms=products + more, status=status, files=1, **rest)
    return body


# ---- the ways to end -----------------------------------------------------------------------------

CASES["a_return_from_main_leaves_a_complete_trace"] = ends("return", 7)
CASES["exit_leaves_a_complete_trace"] = ends("exit", 8)
CASES["_exit_leaves_a_complete_trace"] = ends("_exit", 9)
CASES["_Exit_leaves_a_complete_trace"] = ends("_Exit", 10)
CASES["quick_exit_leaves_a_complete_trace"] = ends("quick_exit", 11)
CASES["a_quick_exit_handler_may_still_compute"] = ends("late_quick_exit", 12, more=2)
CASES["abort_keeps_its_status_and_all_records"] = ends("abort", -signal.SIGABRT)
CASES["an_exception_that_nobody_catches_keeps_its_message_and_all_records"] = ends("throw", -signal.SIGABRT)
CASES["atexit_handlers_and_destructors_may_still_compute"] = ends("late", 0, more=5)
CASES["a_process_ends_when_its_last_own_thread_does"] = ends("main_leaves_first", 0, more=4)


@case
def a_final_ledger_follows_a_periodic_one(b):
    found = b.compare(["lc_engine", "quiet_after_ledger", "5"], gemms=6)
    # At least one before it: on a slow machine a second one may have been due.
    finals = [line["final"] for line in found[0].of("ledger")]
    equal((len(finals) > 1, finals.index(True)), (True, len(finals) - 1), f"final ledgers {finals}")


@case
def SIGTERM_ends_the_engine_as_without_us_and_lines_stay_whole(b):
    b.compare(["lc_engine", "sigterm", "5"], status=-signal.SIGTERM, complete=False)


@case
def SIGSEGV_ends_the_engine_as_without_us_and_lines_stay_whole(b):
    b.compare(["lc_engine", "sigsegv", "5"], status=-signal.SIGSEGV, complete=False)


@case
def SIGKILL_at_any_moment_leaves_whole_lines(b):
    records = 0
    for run in range(100):
        log = b.fresh() / "t.jsonl"
        with b.endless(log) as process:
            if run % 2 == 0:  # around the first write, which comes at a time of its own
                for _ in range(run % 10):
                    os.read(process.stdout.fileno(), 64)
            else:  # between later ones, up to two batches
                size = run * 7919 % 600_000
                let_run_until(process, lambda: log.stat().st_size >= size, f"{size} bytes")
        records += sum(len(s.gemms) for s in b.segments(complete=False))
    check(records > 0, "no run got as far as a record")


# ---- processes that beget processes --------------------------------------------------------------

def headers_name_their_processes(segments):
    equal(len({s.pid for s in segments}), len(segments), "processes with a header of their own")


@case
def children_and_grandchildren_that_end_by__exit_have_traces_of_their_own(b):
    found = b.compare(["lc_fork", "generations"], gemms=25, files=3)
    equal(sorted(len(s.gemms) for s in found), [5, 10, 10], "records per process")
    headers_name_their_processes(found)
    by_pid = {s.pid: s for s in found}
    equal(sum(s.header["ppid"] in by_pid for s in found), 2, "processes whose parent is in the trace")


@case
def fork_among_eight_recording_threads_neither_hangs_nor_mixes_lines(b):
    found = b.compare(["lc_fork", "recording"], gemms=10050)
    equal(len(found), 51, "processes with a trace")
    headers_name_their_processes(found)
    equal(sorted(len(s.gemms) for s in found)[:50], [1] * 50, "records of the children")
    equal(max(len(s.gemms) for s in found), 10000, "records of the parent")


@case
def fork_while_the_trace_is_being_opened_does_not_hang_the_child(b):
    found = b.compare(["lc_fork", "starting"], gemms=60 * 3)
    headers_name_their_processes(found)


@case
def a_pool_of_forked_workers_has_a_trace_per_worker(b):
    found = b.compare(["lc_fork", "pool"], gemms=102)
    equal(sorted(len(s.gemms) for s in found), [2, 25, 25, 25, 25], "records per process")
    headers_name_their_processes(found)


for way in ("posix_spawn", "system", "vfork_exit", "vfork_exec"):
    def body(b, way=way):
        found = b.compare(["lc_fork", way], gemms=5, files=1)
        equal(len(found), 1, "processes with a trace")
    CASES[f"{way}_leaves_the_parent_s_trace_alone"] = body


@case
def a_daemon_that_outlives_its_parents_has_a_complete_trace(b):
    found = b.compare(["lc_fork", "daemon"], gemms=6)
    equal(sorted(len(s.gemms) for s in found), [2, 4], "records per process")


PYTHON_FORK = """
import ctypes, os, sys
blas = ctypes.CDLL(sys.argv[1])
def product(n):
    F = ctypes.c_float
    x, w, y = (F * 4)(*range(n, n + 4)), (F * 4)(1, 2, 3, 4), (F * 4)()
    blas.cblas_sgemm(101, 111, 111, 2, 2, 2, F(1), x, 2, w, 2, F(0), y, 2)
    return list(y)
print(product(1), flush=True)
for child in range(2):
    pid = os.fork()
    if pid == 0:
        print(product(2), product(3), flush=True)
        os._exit(4)
    print(os.waitpid(pid, 0)[1])
print(product(5))
"""


@case
def Python_workers_that_end_by_os__exit_are_traced_through_ctypes(b):
    for library in (b.app("libfake_blas_plain.so"), "libopenblas.so.0"):
        if "fake" not in library and b.run(["/usr/bin/python3", "-c", f"import ctypes; ctypes.CDLL('{library}')"], lib=False).status:
            b.notes.append("no OpenBLAS here")
            continue
        found = b.compare(["/usr/bin/python3", "-c", PYTHON_FORK, library], gemms=6)
        equal(sorted(len(s.gemms) for s in found), [2, 2, 2], "records per process")


# ---- programs that only inherit LD_PRELOAD -------------------------------------------------------

@case
def programs_that_compute_nothing_leave_no_file_and_say_nothing(b):
    for argv in (["/bin/sh", "-c", "exit 3"], ["/bin/sh", "-c", "echo x | cat; (exit 4)"],
                 ["/usr/bin/env", "/bin/sh", "-c", "exit 5"], ["/usr/bin/python3", "-c", "pass"],
                 ["/usr/bin/python3", "-c", "import os; print(len(os.listdir('/proc/self/task')))"],
                 [b.app("lc_quiet"), "idle"]):
        equal(b.compare(argv, files=0), [], f"traces of {argv}")


@case
def an_engine_in_a_shell_pipeline_is_the_only_one_traced(b):
    engine = b.app("lc_engine")
    for argv in (["/bin/sh", "-c", f"echo x | {engine} return 3 | cat; exit 2"],
                 ["/usr/bin/env", "LC=1", engine, "return", "3"],
                 ["/bin/sh", "-c", f"exec {engine} return 3"]):
        found = b.compare(argv, gemms=3, files=1)
        equal(found[0].header["executable"], "lc_engine", "executable")
