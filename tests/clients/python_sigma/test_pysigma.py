"""Rules at random, run by Flareward and, as SQL that pySigma makes of them, by SQLite.

FLAREWARD_BINARY is the program; FLAREWARD_PAIRS how many pairs of a rule and an event are compared (12,000 without it,
always the same ones). What is generated keeps to what both mean alike: flat events of texts and whole numbers. Known
differences, each decided by the specification in Flareward's favour or left open by it:

- SQLite compares texts exactly, Sigma without regard to case: the columns are made with COLLATE NOCASE, as LIKE is.
- A field that is there and null does not exist for SQL. Field E, the only one asked for existence, is never null here.
- A text is greater than any number in SQL, and no number equals a text: numbers stand in a field of their own.
- LIKE folds the letters of ASCII only, so other letters are not used.
- Lists, networks and keywords cannot be said in this SQL at all.
"""

import json
import os
import random
import re
import sqlite3
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError

TEXTS = ["A", "B", "C", "E"]
COLUMNS = TEXTS + ["N"]
EVENTS = 40


def pattern(draw):
    """Few letters, so that much matches; wildcards, escapes, and what is special to SQL."""
    pieces = ["a", "b", "A", "B", "*", "?", "_", "%", "'", ".", r"\*", r"\?", "ab", "Ba"]
    return "".join(draw.choice(pieces) for _ in range(draw.randint(1, 4)))


def item(draw):
    kind = draw.randrange(12)
    field = draw.choice(TEXTS)
    if kind == 0:
        return field, draw.choice([None, ""])
    if kind == 1:
        return "E|exists", draw.random() < 0.5
    if kind == 2:
        return "N|" + draw.choice(["lt", "lte", "gt", "gte"]), draw.randint(-3, 4)
    if kind == 3:
        return "N", draw.choice([draw.randint(-3, 4), [draw.randint(-3, 4), draw.randint(-3, 4)]])
    if kind == 4:
        return field + "|re", draw.choice(["^a", "b$", "a.b", "[ab]{2}", "^(a|b)+$", "A|B", "_", r"a\.b"])
    if kind == 5:
        return field + "|" + draw.choice(["contains", "startswith", "endswith"]) + "|all", [pattern(draw), pattern(draw)]
    if kind == 6:
        return field + "|cased", draw.choice(["a", "ab", "Ab", "B", "bA"])
    if kind == 7:
        modifier = draw.choice(["", "", "|startswith", "|endswith", "|contains"])
        return field + "|fieldref" + modifier, draw.choice(TEXTS)
    if kind == 8:
        return field + draw.choice(["|re|i", "|windash|contains"]), draw.choice(["ab", "a-b", " -a", "/b", "-"])
    modifier = draw.choice(["", "|contains", "|startswith", "|endswith", "|neq", "|contains|neq"])
    if draw.random() < 0.5:
        return field + modifier, pattern(draw)
    return field + modifier, [pattern(draw) for _ in range(draw.randint(2, 3))]


def rule(draw, number):
    def items():
        return dict(item(draw) for _ in range(draw.randint(1, 3)))

    detection = {
        "x1": items(),
        "x2": [items(), items()] if draw.random() < 0.3 else items(),
        "y": items(),
        "condition": draw.choice(
            [
                "x1",
                "x1 and x2",
                "x1 or y",
                "x1 and not y",
                "not x1",
                "not (x1 or y)",
                "1 of x*",
                "all of x*",
                "1 of them and not y",
                "x1 or x2 and not y",
                "all of them or not x2",
            ]
        ),
    }
    return {"title": f"r{number}", "name": f"r{number}", "logsource": {"service": "test"}, "detection": detection}


def event(draw, number):
    def text():
        pieces = ["a", "b", "A", "B", "_", "%", "'", "*", "?", ".", " ", "-", "/", "\\"]
        return "".join(draw.choice(pieces) for _ in range(draw.randint(0, 4)))

    record = {"id": number}
    for field in TEXTS:
        chance = draw.random()
        if chance < 0.75:
            record[field] = text()
        elif chance < 0.85 and field != "E":
            record[field] = None
    if draw.random() < 0.8:
        record["N"] = draw.randint(-4, 5)
    return record


def by_sqlite(events, queries):
    connection = sqlite3.connect(":memory:")
    connection.create_function("REGEXP", 2, lambda wanted, found: found is not None and bool(re.search(wanted, str(found))))
    texts = ", ".join(f"{name} TEXT COLLATE NOCASE" for name in TEXTS)
    connection.execute(f"CREATE TABLE logs (id INTEGER, {texts}, N INTEGER)")
    rows = [[one["id"]] + [one.get(name) for name in COLUMNS] for one in events]
    connection.executemany("INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?)", rows)
    matches = set()
    for name, query in queries.items():
        matches.update((name, row[0]) for row in connection.execute(query))
    return matches


def by_flareward(events, rules, folder):
    (folder / "rules").mkdir()
    text = "---\n".join(yaml.safe_dump(one, allow_unicode=True) for one in rules)
    (folder / "rules" / "all.yml").write_text(text)
    (folder / "events.ndjson").write_text("".join(json.dumps(one) + "\n" for one in events))
    command = [os.environ["FLAREWARD_BINARY"], "rules", "run", "--rules", "rules", "--output", "ndjson", "events.ndjson"]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if output.returncode != 0:
        raise AssertionError(output.stderr)
    lines = [json.loads(line) for line in output.stdout.splitlines()]
    return {(line["rule"], line["event"]["id"]) for line in lines}


class PySigma(unittest.TestCase):
    def test_rules_match_what_their_sql_finds(self):
        wanted = int(os.environ.get("FLAREWARD_PAIRS", 12_000))
        draw = random.Random(20260105 if "FLAREWARD_PAIRS" not in os.environ else None)
        compared = matched = refused = 0
        while compared < wanted:
            rules, queries = [], {}
            for number in range(min(1_000, wanted // EVENTS)):
                one = rule(draw, number)
                try:
                    made = sqliteBackend().convert(SigmaCollection.from_dicts([one]))
                except SigmaError:
                    refused += 1
                    continue
                rules.append(one)
                queries[one["name"]] = made[0]
            events = [event(draw, number) for number in range(EVENTS)]
            with tempfile.TemporaryDirectory() as folder:
                ours = by_flareward(events, rules, Path(folder))
            theirs = by_sqlite(events, queries)
            for name, number in sorted(ours ^ theirs)[:5]:
                print("differs:", "ours" if (name, number) in ours else "theirs", queries[name])
                print(" ", next(one["detection"] for one in rules if one["name"] == name), events[number])
            self.assertEqual(ours ^ theirs, set())
            compared += len(rules) * len(events)
            matched += len(ours)
        print(f"{compared} pairs compared with SQLite, {matched} matched, {refused} rules not converted")
        self.assertGreater(matched, compared // 20)


if __name__ == "__main__":
    unittest.main()
