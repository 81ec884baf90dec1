#!/usr/bin/python3
"""docs/REPORT.md against what `orchtrace compare` writes.

usage: report_doc_test.py --orchtrace PROGRAM

Compares the traces of `orchtrace selftest`: every key, column and signature must be in the document
and the other way round; JUnit and SARIF are read with other people's parsers.
"""
import argparse
import csv
import io
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/docs"))
import report  # noqa: E402
from document import Document, is_number  # noqa: E402
from report import check  # noqa: E402

TYPES = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": is_number,
    "list of strings": lambda v: isinstance(v, list) and all(isinstance(e, str) for e in v),
    "list of lists": lambda v: isinstance(v, list) and all(isinstance(e, list) for e in v),
    "matrix": lambda v: all(is_number(e) or e is None for row in v for e in row),
    "counts": lambda v: isinstance(v, dict) and all(isinstance(n, int) for n in v.values()),
}


class Contract:
    """Where a document of JSON and the tables differ."""

    def __init__(self, document):
        self.document, self.problems, self.seen = document, [], set()

    def note(self, problem):
        if problem not in self.problems:
            self.problems.append(problem)

    def object(self, heading, value):
        table = self.document.tables[heading]
        if list(value) != list(table):
            self.note(f"{heading}: {list(value)} are written, {list(table)} documented")
        for key, entry in value.items():
            if key in table:
                self.value(f"{heading}.{key}", *table[key], entry)

    def value(self, name, type_text, null_when, value):
        if value is None:
            if null_when == "never":
                self.note(f"{name} is null")
            return
        self.seen.add(name)
        linked = self.document.linked(type_text)
        if linked and type_text.startswith("list of "):
            for element in value:
                self.object(linked, element)
        elif linked:
            self.object(linked, value)
        elif type_text not in TYPES or not TYPES[type_text](value):
            self.note(f"{name} is no {type_text}: {str(value)[:60]}")

    def unseen(self):
        return {f"{h}.{k}" for h, table in self.document.tables.items() for k in table} - self.seen


def signatures_of_source():
    names = {"unknown"}
    for path in (ROOT / "analyzer/judge").glob("*.cpp"):
        text = path.read_text()
        for first_argument in re.findall(r"\bfinding\(\s*([^,]*),", text):
            names |= set(re.findall(r'"(\w+)"', first_argument))
        names |= set(re.findall(r'signature\.name = "(\w+)"', text))
        for kind in re.findall(r"kinds\.push_back\(\{([^,]*),", text):
            names |= set(re.findall(r'"(\w+)"', kind))
    return names


def first_cells(text, section):
    part = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", part, re.M)


class Tool:
    def __init__(self, program, cases):
        self.program, self.cases = program, cases

    def run(self, *arguments):
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)

    def compare(self, *others, options=()):
        traces = [self.cases / f"{name}.jsonl" for name in ("reference", *others)]
        return self.run("compare", *options, *traces)


def check_json(tool, document):
    contract = Contract(document)
    for others in (["rebuilt"], ["rope"], ["lost"], ["k-tail"], ["rebuilt", "again", "mask"]):
        done = tool.compare(*others, options=["--format", "json"])
        value = json.loads(done.stdout, parse_constant=lambda c: contract.note(f"{c} is no JSON"))
        contract.object("report", value)
        names = [p["other"] for p in value["pairs"]]
        expected = {"parity": 0, "divergence": 1, "not_comparable": 2}[value["verdict"]]
        check(f"exit code of {', '.join(others)}",
              "" if done.returncode == expected and len(names) == len(others) else done.returncode)
        for row in value["ledger"]:
            total = row["matched"] + row["merged"] + row["unmatched"] + sum(row["dropped"].values())
            check(f"ledger of {row['team']} adds up", "" if row["adds_up"] == (total == row["total"]) else row)
    budget = tool.cases / "budget.json"
    traces = [tool.cases / f"{name}.jsonl" for name in ("reference", "rebuilt", "rope")]
    tool.run("baseline", "save", *traces[:2], "-o", budget)
    for other in traces[1:]:
        done = tool.run("baseline", "check", "--format", "json", budget, traces[0], other)
        contract.object("budget check", json.loads(done.stdout))
    check("keys of the JSON are those of the tables", "; ".join(contract.problems[:5]))
    # These need engines that a built-in model does not imitate.
    rare = {f"token.{k}" for k in ("flip", "max_abs_diff", "mean_abs_diff", "max_rel_diff", "margin", "kl",
                                   "top5", "top10", "skipped", "error", "argmax_reference", "argmax_other")}
    check("every documented key was seen with a value", ", ".join(sorted(contract.unseen() - rare)))


def check_signatures(text):
    documented = first_cells(text, "Signatures")
    source = signatures_of_source()
    check(f"{len(source)} signatures are documented, once each",
          "" if sorted(documented) == sorted(source) else
          f"documented alone: {set(documented) - source}, in the source alone: {source - set(documented)}")


def check_csv(tool, text):
    rows = list(csv.DictReader(io.StringIO(tool.compare("rope", options=["--format", "csv"]).stdout)))
    part = text.split("\n## CSV\n")[1].split("`--table`")[0]
    columns = [c for c in re.findall(r"`(\w+)`", part) if c != "csv"]
    check("columns of the CSV are those of the document",
          "" if rows and list(rows[0]) == columns else f"{list(rows[0]) if rows else 'no row'}, {columns}")
    value = json.loads(tool.compare("rope", options=["--format", "json"]).stdout)
    check("CSV and JSON have the same positions",
          "" if [int(r["token_idx"]) for r in rows] == [t["token_idx"] for t in value["tokens"]] else "no")
    for table, key in (("sites", "sites"), ("drift", "drift")):
        rows = list(csv.reader(io.StringIO(tool.compare("rope", options=["--format", "csv", "--table", table]).stdout)))
        wanted = len(value["sites"]) if key == "sites" else sum(len(d["layers"]) for d in value["drift"])
        check(f"CSV of {table}", "" if len(rows) == wanted + 1 and len({len(r) for r in rows}) == 1 else len(rows))


def check_junit(tool, directory):
    for name, failures, errors in (("rebuilt", 0, 0), ("rope", 2, 0), ("lost", 0, 1)):
        path = directory / f"{name}.xml"
        tool.compare(name, options=["--junit", path])
        root = ElementTree.parse(path).getroot()
        cases = root.findall("testsuite/testcase")
        found = [len(root.findall(f"testsuite/testcase/{kind}")) for kind in ("failure", "error", "skipped")]
        told = [int(root.find("testsuite").get(kind)) for kind in ("failures", "errors", "skipped")]
        check(f"JUnit of {name}", "" if found == told and found[:2] == [failures, errors]
              and len(cases) == int(root.get("tests")) else f"{found}, {told}")


def check_sarif(tool, directory):
    path = directory / "rope.sarif"
    tool.compare("rope", options=["--sarif", path])
    run = json.loads(path.read_text())["runs"][0]
    result = run["results"][0]
    place = result["locations"][0]["physicalLocation"]
    uri = place["artifactLocation"]["uri"]
    trace = tool.cases / "rope.jsonl"
    check("SARIF points to the trace", "" if uri == trace.resolve().as_uri() else uri)
    line = trace.read_text().splitlines()[place["region"]["startLine"] - 1]
    check("SARIF points to the line",
          "" if json.loads(line)["checkpoint"] == result["locations"][0]["logicalLocations"][0]["name"] else line[:80])


def check_text(tool, text):
    labels = set()
    for name in ("rebuilt", "rope", "lost", "heads", "cache", "norm", "gelu", "k-tail", "other-layer"):
        lines = tool.compare(name).stdout.splitlines()
        check(f"text of {name} fits a screen",
              "" if 5 < len(lines) <= 40 and max(map(len, lines)) <= 100 else
              f"{len(lines)} lines, {max(map(len, lines))} columns")
        labels |= {line[2:14].strip() for line in lines if re.match(r"  [a-z]", line)}
    part = text.split("\n## Reading the text\n")[1].split("`--verbose`")[0]
    documented = {c for row in re.findall(r"^\| (`[^|]*) \|", part, re.M) for c in re.findall(r"`([^`]+)`", row)}
    check("labels of the text are documented",
          ", ".join(sorted(labels - documented)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orchtrace", required=True)
    options = parser.parse_args()
    path = ROOT / "docs/REPORT.md"
    document, text = Document(path), path.read_text()
    check_signatures(text)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tool = Tool(options.orchtrace, directory / "cases")
        done = tool.run("selftest", "--keep", tool.cases)
        check("selftest", "" if done.returncode == 0 else done.stdout + done.stderr)
        check_json(tool, document)
        check_csv(tool, text)
        check_junit(tool, directory)
        check_sarif(tool, directory)
        check_text(tool, text)
    return 1 if report.failures else 0


sys.exit(main())
