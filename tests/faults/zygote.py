"""Makes many traces of the PyTorch engine in little time: zygote.py DIRECTORY AT_ONCE

PyTorch is imported once; each trace is then a forked child. ORCH_LOG_FILE must be DIRECTORY/%p.jsonl:
no product is computed before the fork, so each child opens a trace of its own, under its pid, which
is renamed when the child is done. Nothing in a trace tells which fault it is of.

Reads jobs from stdin, a JSON object each, and answers with a line each: the job's trace, the exit
status, the tokens and what was multiplied.
"""
import ctypes
import json
import os
import sys

import faulty_llama
import plants
from forms import FORMS


def run(job):
    plant = plants.Plant(job["fault"], job["layer"]) if job["fault"] else faulty_llama.NoPlant()
    blas = None
    if job["blas"]:
        blas = ctypes.CDLL(job["blas"])
        blas.faulty_blas_plan.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    tokens, products = faulty_llama.run(job["model"], FORMS[job["form"]], job["prompt"], job["generate"], plant, blas)
    return {"tokens": tokens, "products": products}


def child(job, answer):
    status = 1
    try:
        with open(answer, "w") as f:
            json.dump(run(job), f)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def main():
    directory, at_once, running = sys.argv[1], int(sys.argv[2]), {}

    def finish():
        pid, status = os.wait()
        job, answer = running.pop(pid), os.path.join(directory, f"{pid}.answer")
        if status == 0:
            os.rename(os.path.join(directory, f"{pid}.jsonl"), job["trace"])
        found = {}
        if os.path.exists(answer):
            with open(answer) as f:
                found = json.load(f) if status == 0 else {}
            os.remove(answer)
        print(json.dumps({"trace": job["trace"], "status": status, **found}), flush=True)

    for line in sys.stdin:
        while len(running) >= at_once:
            finish()
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job, os.path.join(directory, f"{os.getpid()}.answer"))
        running[pid] = job
    while running:
        finish()


main()
