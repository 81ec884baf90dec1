"""Where the trace goes: nowhere, where it cannot be written, one name for several processes; bad values."""
import os
import re
import resource
import select
import subprocess

from support import LIMIT, case, check, equal, let_run_until, segments_of

# ---- disabled ------------------------------------------------------------------------------------

@case
def without_a_log_file_there_is_no_file_thread_allocation_or_mapping(b):
    b.fresh()
    plain = b.run([b.app("lc_quiet")], lib=False)
    for log in (None, ""):
        run = b.run([b.app("lc_quiet")], log=log, cwd=b.directory / "traces")
        equal((run.stdout, run.stderr, run.status), (plain.stdout, "", 0), "what the app measured")
    equal(list((b.directory / "traces").iterdir()), [], "files")


# ---- a log that cannot be written ----------------------------------------------------------------

@case
def a_directory_that_is_missing_costs_one_line_on_stderr(b):
    b.compare(["lc_engine", "return", "5"], log="absent/t.jsonl", files=0,
              stderr=[["orchtrace", "traces/absent/t.jsonl", "No such file or directory"]])


@case
def a_path_below_a_file_costs_one_line_on_stderr(b):
    (b.directory / "file").write_text("x")
    b.compare(["lc_engine", "_exit", "5"], log="../file/t.jsonl", files=0,
              stderr=[["orchtrace", "file/t.jsonl", "Not a directory"]])


@case
def a_full_disk_costs_one_line_on_stderr(b):
    b.compare(["lc_engine", "return", "500"], log="/dev/full", files=0,
              stderr=[["orchtrace", "/dev/full", "No space left on device"]])


@case
def the_line_on_stderr_has_room_for_a_long_path(b):
    log = "/".join(["d" * 200] * 4) + "/t.jsonl"
    b.compare(["lc_engine", "return", "5"], log=log, files=0,
              stderr=[["t.jsonl", "No such file or directory"]])


def file_size_limit(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@case
def a_file_size_limit_cuts_no_line_and_its_signal_stays_ours(b):
    for size in (50000, 4096, 3000):
        b.compare(["lc_engine", "return", "500"], complete=False, prepare=file_size_limit(size),
                  status=7, stderr=[["orchtrace", "t.jsonl", "File too large"]])


@case
def a_full_sidecar_takes_no_descriptor_per_vector(b):
    def prepare():
        file_size_limit(1_000_000)()  # room for six vectors, and for the trace itself
        resource.setrlimit(resource.RLIMIT_NOFILE, (520, 520))
    found = b.compare(["lc_world", "wide"], gemms=40, prepare=prepare, complete=True,
                      extra={"ORCH_LOG_VALUES": "40000"})
    offsets = [g["sidecar"]["offset"] for g in found[0].gemms]
    equal((offsets[0] >= 0, offsets[-1]), (True, -1), "offsets of the first and the last vector")


@case
def a_reader_that_closes_the_FIFO_costs_one_line_and_no_SIGPIPE(b):
    plain = b.run([b.app("lc_engine"), "return", "2000"], lib=False)
    fifo = b.fresh() / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen([b.app("lc_engine"), "return", "2000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=b.environment(log=fifo))
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.poll(LIMIT * 1000)
    os.close(reader)
    stdout, stderr = process.communicate(timeout=LIMIT)
    equal((process.returncode, stdout.decode()), (plain.status, plain.stdout), "outcome")
    equal(len(stderr.splitlines()), 1, f"lines on stderr {stderr}")
    check(b"Broken pipe" in stderr and b"fifo" in stderr, f"stderr {stderr}")


@case
def a_FIFO_without_any_reader_does_not_hold_the_engine_up(b):
    def fifo():
        os.mkfifo(b.directory / "traces" / "fifo")
    b.compare(["lc_engine", "return", "5"], log="fifo", before=fifo, stderr=[["orchtrace", "fifo"]])


# ---- bad values ----------------------------------------------------------------------------------

BAD = {
    "ORCH_TRACE": ("maybe", "on"),
    "ORCH_LOG_TEAM": ("t" * 300, "the executable's name"),
    "ORCH_LOG_VALUES": ("ten", "10"),
    "ORCH_TRACE_CHECKPOINTS": ("x" * 5000, "gemm,layers,logits"),
    "ORCH_TRACE_ROWS": ("17", "16"),
    "ORCH_TRACE_WEIGHTS": ("heavy", "proof"),
    "ORCH_TRACE_CAPTURE": ("film", "mark"),
    "ORCH_TRACE_MEMORY": ("1T", "1G"),
    "ORCH_TRACE_FULL": ("logits,,", "none"),
    "ORCH_TRACE_FULL_LIMIT": ("much", "16G"),
    "ORCH_TRACE_FULL_RING": ("8G", "64M"),
    "ORCH_TRACE_PROBES": ("blas,moon", "all"),
    "ORCH_TRACE_EXCLUDE": ("a,,b", "libnccl*,libnvshmem*"),
}


@case
def each_bad_value_is_named_once_with_the_default_in_its_place(b):
    for name, (value, default) in BAD.items():
        found = b.compare(["lc_engine", "return", "3"], gemms=3, extra={name: value},
                          stderr=[[name, value[:60], f"using {default}"]])
        equal([name in p for p in found[0].header["problems"]], [True], "problems in the header")


@case
def all_bad_values_at_once_are_all_named(b):
    found = b.compare(["lc_engine", "return", "3"], gemms=3,
                      extra={name: value for name, (value, _) in BAD.items()},
                      stderr=[[name, f"using {default}"] for name, (_, default) in BAD.items()])
    equal(len(found[0].header["problems"]), len(BAD), "problems in the header")


@case
def a_log_file_name_that_is_too_long_is_said_so(b):
    b.compare(["lc_engine", "return", "3"], log="x" * 2000, files=0, stderr=[["ORCH_LOG_FILE"]])


# ---- one name, several processes -----------------------------------------------------------------

@case
def two_processes_at_once_write_two_files(b):
    log = b.fresh() / "t.jsonl"
    with b.endless(log) as first:
        second = b.run([b.app("lc_engine"), "return", "5"], log=log)
        # Its lines come some time after its products, and the second process may be long gone by then.
        let_run_until(first, lambda: b"\n" in log.read_bytes(), "line in the file")
    equal((second.status, second.stderr), (7, ""), "outcome")
    names = sorted(p.name for p in log.parent.iterdir())
    equal(len(names), 2, f"files {names}")
    found = {name: segments_of(log.parent / name) for name in names}
    equal({name: len(s) for name, s in found.items()}, dict.fromkeys(names, 1), "headers per file")
    equal(found["t.jsonl"][0].pid, first.pid, "process that has the name")
    own = found[next(name for name in names if name != "t.jsonl")][0]
    equal(len(own.gemms), 5, "records in the second process's file")
    own.check_ledger()


@case
def two_runs_one_after_the_other_append(b):
    traces = b.fresh()
    for products in (3, 4):
        b.run([b.app("lc_engine"), "return", str(products)], log=traces / "t.jsonl")
    found = segments_of(traces / "t.jsonl")
    equal([len(s.gemms) for s in found], [3, 4], "records per run")
    for segment in found:
        segment.check_ledger()


@case
def a_line_that_an_earlier_crash_tore_spoils_no_other(b):
    path = b.fresh() / "t.jsonl"
    path.write_text('{"ts":"2026-01-01T00:00:0')
    b.run([b.app("lc_engine"), "return", "3"], log=path)
    found = segments_of(path, torn_first=True)
    equal([len(s.gemms) for s in found], [3], "records")


@case
def the_name_of_the_log_is_a_template(b):
    traces = b.fresh()
    b.run([b.app("lc_engine"), "return", "3"], log=str(traces / "%e.%r.%p.%%.jsonl"), extra={"RANK": "7"})
    name = next(traces.iterdir()).name
    check(re.fullmatch(r"lc_engine\.7\.\d+\.%%\.jsonl", name), f"name {name}")
    check(f".{segments_of(traces / name)[0].pid}." in name, "the pid is in the name")


# ---- a disk that hangs ---------------------------------------------------------------------------

@case
def a_disk_that_hangs_delays_the_end_by_a_bounded_time(b):
    plain = b.run([b.app("lc_engine"), "return", "300"], lib=False)
    fifo = b.fresh() / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # and never reads
    run = b.run([b.app("lc_engine"), "return", "300"], log=fifo)  # which fails after LIMIT seconds
    os.close(reader)
    equal((run.status, run.stdout), (plain.status, plain.stdout), "outcome")
    equal(len(run.stderr.splitlines()), 1, f"lines on stderr {run.stderr!r}")
