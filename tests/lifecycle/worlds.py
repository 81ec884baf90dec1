"""Engines with many threads, and engines that change what their process has and may do."""
import resource
import struct

from support import Skipped, case, equal

# ---- nesting and threads -------------------------------------------------------------------------

@case
def CBLAS_on_top_of_Fortran_BLAS_is_one_record(b):
    found = b.compare(["lc_engine", "return", "5"], gemms=5)
    equal({g["op"] for g in found[0].gemms}, {"cblas_sgemm"}, "functions")


@case
def thirty_two_threads_lose_nothing_and_keep_their_order(b):
    found = b.compare(["lc_engine", "threads", "0"], gemms=6400)
    of_thread = {}
    for gemm in found[0].gemms:
        alpha = gemm["alpha"]
        of_thread.setdefault(int(alpha), []).append((alpha, gemm["call"]))
    equal(len(of_thread), 32, "threads")
    for thread, products in of_thread.items():
        equal(products, sorted(products), f"order of thread {thread}")
        calls = [call for _, call in products]
        equal(calls, sorted(calls), f"calls of thread {thread}")


@case
def threads_that_come_and_go_lose_nothing(b):
    b.compare(["lc_engine", "short_threads", "0"], gemms=8 * 50 * 6)


# ---- an engine that changes the world ------------------------------------------------------------

def few_descriptors(count=16):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def own_files(b, content=b"mine\n"):
    for path in sorted(b.directory.glob("own*")):
        equal(path.read_bytes(), content, f"content of the engine's {path.name}")
        path.unlink()


@case
def an_engine_may_close_every_descriptor(b):
    for how in ("closefrom", "close_loop"):
        for prepare in (None, few_descriptors()):
            b.compare(["lc_world", how, str(b.directory)], gemms=7, prepare=prepare)
            own_files(b)


@case
def the_sidecar_survives_closed_descriptors_and_spares_the_engine_s_files(b):
    for prepare in (None, few_descriptors()):
        found = b.compare(["lc_world", "close_wide", str(b.directory)], gemms=2, prepare=prepare,
                          extra={"ORCH_LOG_VALUES": "40000"})
        own_files(b)
        data = (b.directory / "traces/t.jsonl.values").read_bytes()
        for gemm in found[0].gemms:
            side = gemm["sidecar"]
            values = struct.unpack_from(f"<{side['count']}f", data, side["offset"])
            equal((len(values), set(values)), (40000, {6.0}), "values in the sidecar")


@case
def a_forked_child_s_descriptors_are_not_closed(b):
    for prepare in (None, few_descriptors()):
        b.compare(["lc_world", "close_fork", str(b.directory)], gemms=4, prepare=prepare)
        own_files(b, b"mine\nmine\n")


@case
def an_engine_may_move_elsewhere_when_the_log_s_name_is_relative(b):
    traces = b.fresh()
    run = b.run([b.app("lc_world"), "elsewhere"], log="t.jsonl", cwd=traces)
    equal((run.status, run.stderr), (0, ""), "outcome")
    equal(sum(len(s.gemms) for s in b.segments()), 7, "gemm records")


@case
def an_engine_s_signals_stay_on_its_own_threads(b):
    found = b.compare(["lc_world", "signals"])
    equal(len(found[0].gemms), b.counted(), "gemm records")
    equal(b.last.stdout, "pending 1, taken 1, on threads of others 0\n", "without the library")


@case
def errno_is_what_it_was(b):
    b.compare(["lc_world", "errno"], gemms=3)


@case
def a_small_thread_stack_is_enough(b):
    b.compare(["lc_world", "small_stack", "65536"], gemms=2)


@case
def a_small_stack_limit_is_enough(b):
    b.compare(["lc_engine", "return", "5"], gemms=5,
              prepare=lambda: resource.setrlimit(resource.RLIMIT_STACK, (131072, 131072)))


@case
def a_process_that_may_start_no_thread_runs_on_and_says_so(b):
    b.directory.chmod(0o777)
    if "another thread: yes" in b.run([b.app("lc_world"), "no_threads"], lib=False).stdout:
        raise Skipped("RLIMIT_NPROC does not stop this user from starting threads")
    b.compare(["lc_world", "no_threads"], complete=False, stderr=[["orchtrace", "t.jsonl"]])


# ---- floating point, and static executables ------------------------------------------------------

@case
def rounding_mode_and_denormals_are_the_engine_s_own(b):
    b.compare(["lc_world", "floating_point"], gemms=1)


@case
def floating_point_flags_and_traps_are_the_engine_s_own(b):
    b.compare(["lc_world", "flags"], gemms=3)


@case
def a_static_executable_runs_as_without_us(b):
    b.compare(["lc_static"], files=0, gemms=0, status=4)
