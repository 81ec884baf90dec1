"""Which BLAS is reached: functions that none has, several copies, plugins, other preloads."""
from support import case, check, equal

# ---- functions that no BLAS has ------------------------------------------------------------------

@case
def dlsym_finds_no_function_that_no_BLAS_has(b):
    b.compare(["lc_missing"], gemms=2)
    equal("default: none" in b.last.stdout, True, "without the library it is not there")


@case
def a_call_of_a_function_that_no_BLAS_has_fails_as_lazy_binding_does(b):
    plain = b.run([b.app("lc_missing"), "call"], lib=False)
    check("undefined symbol: cblas_sbgemm" in plain.stderr, f"stderr without us {plain.stderr}")
    for log in (None, b.fresh() / "t.jsonl"):
        run = b.run([b.app("lc_missing"), "call"], log=log)
        equal((run.status, run.stdout), (127, plain.stdout), "outcome")
        check("undefined symbol: cblas_sbgemm" in run.stderr, f"stderr {run.stderr}")
    equal(sum(len(s.gemms) for s in b.segments()), 2, "gemm records")


# ---- several copies, plugins, other preloads -----------------------------------------------------

@case
def two_copies_of_a_BLAS_each_serve_their_own_plugin(b):
    b.compare(["lc_host", "two"], gemms=14)
    check("linked 15\nlinked 30\nhandle 15\nhandle 30" in b.last.stdout, "the copies can be told apart")


@case
def a_third_copy_in_the_global_scope_serves_whom_it_would_serve_without_us(b):
    b.compare(["lc_host", "two_and_global"], gemms=14)
    check("linked 45" in b.last.stdout, "the global copy is used")


@case
def a_plugin_opened_RTLD_LOCAL_reaches_its_BLAS_by_every_route(b):
    b.compare(["lc_host", "local"], gemms=3)


@case
def a_plugin_opened_RTLD_GLOBAL_reaches_its_BLAS_by_every_route(b):
    b.compare(["lc_host", "global"], gemms=4)


@case
def a_plugin_that_is_closed_is_unloaded_and_its_successor_reaches_its_own_BLAS(b):
    b.compare(["lc_host", "reopen", str(b.directory / "plugin.so")], gemms=12)
    equal(b.last.stdout.count("unloaded"), 6, "unloadings without the library")


@case
def five_thousand_loads_of_a_BLAS_stay_right(b):
    b.compare(["lc_host", "many"], gemms=5000)


@case
def another_preload_library_may_stand_before_or_behind_ours(b):
    other = b.app("liblc_next.so")
    engine = [b.app("lc_engine"), "return", "4"]
    plain = b.run(engine, lib=False, extra={"LD_PRELOAD": other})
    for order in (f"{b.lib}:{other}", f"{other}:{b.lib}"):
        for log in (None, b.fresh() / "t.jsonl"):
            run = b.run(engine, log=log, extra={"LD_PRELOAD": order})
            equal((run.stdout, run.stderr, run.status), (plain.stdout, plain.stderr, plain.status), f"outcome of {order}")
        equal(sum(len(s.gemms) for s in b.segments()), 4, f"gemm records of {order}")
