"""The document's tables and examples, and whether records are as these say."""
import re
from collections import defaultdict

SEVEN = {"ts": str, "team": str, "checkpoint": str, "token_idx": int, "dtype": str, "shape": str,
         "values": list}


class Document:
    def __init__(self, path):
        self.text = path.read_text()
        self.examples = []  # (heading, line)
        self.tables = defaultdict(dict)  # heading -> key -> (type, "when absent")
        heading, block = "", None
        for line in self.text.splitlines():
            if line.startswith("```"):
                block = None if block is not None else line[3:].strip()
            elif block == "json":
                self.examples.append((heading, line))
            elif block is None and line.startswith("#"):
                heading = line.lstrip("#").strip()
            elif block is None and line.startswith("| `") and line.count("|") >= 5:
                cells = [cell.strip() for cell in line.strip("| ").split("|")]
                if re.fullmatch(r"`\w+`", cells[0]):
                    self.tables[heading][cells[0].strip("`")] = (cells[1], cells[3])

    def members(self, kind):
        """The table of a kind, and the keys that every kind may have."""
        return self.tables[kind] | self.tables["Beside values"]

    def linked(self, type_text):
        link = re.search(r"\(#([\w-]+)\)", type_text)
        return link and next(h for h in self.tables if h.replace(" ", "-") == link[1])


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


TYPES = {
    "string": lambda v: isinstance(v, str),
    "hex": lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{16}", v),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: is_number(v) or v is None,
    "integer or string": lambda v: isinstance(v, (int, str)),
    "list of strings": lambda v: isinstance(v, list) and all(isinstance(e, str) for e in v),
    "list of integers": lambda v: isinstance(v, list) and all(isinstance(e, int) for e in v),
    "list of numbers": lambda v: isinstance(v, list) and all(is_number(e) or e is None for e in v),
    "16 numbers": lambda v: len(v) == 16 and all(is_number(e) or e is None for e in v),
    "list of pairs": lambda v: all(isinstance(i, int) and s in ("nan", "inf", "-inf") for i, s in v),
}


class Conformity:
    """What records do and the document does not say, and the other way round."""

    def __init__(self, document):
        self.document = document
        self.seen = defaultdict(set)  # heading -> keys
        self.counts = defaultdict(int)
        self.problems = []

    def note(self, where, problem):
        if len(self.problems) < 20:
            self.problems.append(f"{where}: {problem}")

    def record(self, where, record):
        keys = list(record)
        expected = [k for k in SEVEN if k != "values"]
        if keys[:6] != expected or keys[-1] != "values":
            return self.note(where, f"the seven keys are not in order: {keys}")
        for key, kind in SEVEN.items():
            if not isinstance(record[key], kind) or isinstance(record[key], bool):
                self.note(where, f"{key} is no {kind.__name__}")
        if not TYPES["list of numbers"](record["values"]):
            self.note(where, "values holds something else than numbers and nulls")
        heading = record.get("kind", "log line")
        if heading not in self.document.tables and heading != "log line":
            return self.note(where, f"no table for the kind {heading}")
        extra = {k: v for k, v in record.items() if k not in SEVEN and k != "kind"}
        beside = self.document.tables["Beside values"]
        for key in beside:
            if key in extra:
                self.members(where, "Beside values", {key: extra.pop(key)}, complete=False)
        self.members(where, heading, extra)

    def members(self, where, heading, members, complete=True):
        table = self.document.tables[heading]
        self.counts[heading] += 1
        for key, value in members.items():
            if key not in table:
                self.note(where, f"{heading}.{key} is not documented")
                continue
            self.seen[heading].add(key)
            self.value(where, f"{heading}.{key}", table[key][0], value)
        if not complete:
            return
        for key, (_, absent) in table.items():
            if absent == "never" and key not in members:
                self.note(where, f"{heading}.{key} is absent")

    def value(self, where, name, type_text, value):
        linked = self.document.linked(type_text)
        if linked and type_text.startswith("list of "):
            for element in value:
                self.members(where, linked, element)
        elif linked:
            self.members(where, linked, value)
        elif type_text not in TYPES:
            self.note(where, f"{name}: the type '{type_text}' is unknown to the test")
        elif not TYPES[type_text](value):
            self.note(where, f"{name} is no {type_text}: {str(value)[:60]}")

    def unseen(self):
        return {(h, k) for h, table in self.document.tables.items() for k in table
                if k not in self.seen[h]}
