"""DuckDB reads the archive of a running program through its views, by the command of README.md.

Starts the program, sends it batches of two datasets with times in every form that Cloudflare has and a line that is
rejected, and lets DuckDB count the records once they are in parts.
`FLAREWARD_BINARY` is the program, `FLAREWARD_SANDBOX` what `flareward sandbox -o json` prints. Run with
`python -m unittest`.
"""

import gzip
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request
from pathlib import Path

import duckdb

INFO = json.loads(os.environ["FLAREWARD_SANDBOX"])
BINARY = os.environ["FLAREWARD_BINARY"]
LABEL = "archived"
ENVIRONMENT = {
    **os.environ,
    "FLAREWARD_EGRESS_ALLOW_HTTP": "true",
    "FLAREWARD_EGRESS_ALLOW_LOOPBACK": "true",
}


def dns(number):
    return {
        "Datetime": "2026-11-20T09:14:05Z",
        "Email": f"person{number % 7}@corp.example",
        "QueryName": f"host{number}.example",
        "QueryID": f"query-{number}",
        "QueryCategoryIDs": [155],
        "ResolverDecision": "allowedOnNoPolicyMatch",
    }


def http(number):
    return {
        "Datetime": "2026-11-20T10:14:05Z",
        "Email": f"person{number % 7}@corp.example",
        "HTTPHost": "files.example",
        "HTTPMethod": "GET",
        "URL": f"https://files.example/{number}",
        "RequestID": f"request-{number}",
        "Action": "none",
    }


# Batches by dataset. They differ in size.
SENT = {
    "gateway_dns": [[dns(number) for number in range(start, start + count)] for start, count in [(0, 120), (120, 1), (121, 79)]],
    "gateway_http": [[http(number) for number in range(start, start + count)] for start, count in [(0, 30), (30, 45)]],
}


# The same instant in each form, in a batch of its own: DuckDB must not settle on the first that it meets.
TIMES = ["2026-11-20T09:14:05Z", "2026-11-20T09:14:05.123456789Z", 1763630045, 1763630045123456789]
for place, moment in enumerate(TIMES):
    SENT["gateway_dns"].append([{**dns(200 + place), "Datetime": moment, "ResolvedIPs": [] if place % 2 else None}])
REJECTED = '{"Datetime": "2026-11-20T09:14:05Z", "Email": "person'
README = Path(__file__).parents[3] / "README.md"


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.data = data = Path(cls.folder.name, "data")
        secret = cls.connect(data)
        cls.address = cls.serve(data)
        for dataset, batches in SENT.items():
            for batch in batches:
                cls.send(dataset, batch, secret)
        cls.wait()
        cls.connection = duckdb.connect()
        cls.connection.execute(cls.run_program("archive", "sql", "duckdb"))

    @classmethod
    def connect(cls, data):
        token = Path(cls.folder.name, "token")
        token.write_text(INFO["token"])
        made = subprocess.run(
            [BINARY, "--data-dir", data, "-o", "json", "connect", "--label", LABEL, "--account", INFO["account_id"],
             "--base-url", INFO["base_url"], "--token-file", token],
            env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=120,
        )
        return json.loads(made.stdout)["ingest_secret"]

    @classmethod
    def serve(cls, data):
        server = subprocess.Popen(
            [BINARY, "--data-dir", data, "serve", "--listen", "127.0.0.1:0"],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        cls.addClassCleanup(server.stderr.close)
        cls.addClassCleanup(server.wait, 60)
        for line in server.stderr:
            found = re.search(r"Flareward serves (http\S+)", line)
            if found:
                # What else it says must not fill the pipe.
                rest = threading.Thread(target=server.stderr.read)
                rest.start()
                cls.addClassCleanup(rest.join, 60)
                cls.addClassCleanup(server.terminate)
                return found[1].rstrip("/")
        server.kill()
        raise AssertionError("the server ended without saying where it serves")

    @classmethod
    def send(cls, dataset, records, secret):
        body = gzip.compress("\n".join([*(json.dumps(record) for record in records), REJECTED]).encode())
        request = urllib.request.Request(
            f"{cls.address}/ingest/{LABEL}/{dataset}", data=body, headers={"x-flareward-secret": secret}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            received = json.load(answer)
        assert received["received"] == "stored", received

    @classmethod
    def wait(cls):
        """Until every record is in a part."""
        expected = {dataset: sum(map(len, batches)) for dataset, batches in SENT.items()}
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = {one["dataset"]: one["records"] for one in cls.run_program("-o", "json", "archive", "stats")["datasets"]}
            if all(found.get(dataset) == count for dataset, count in expected.items()):
                return
            time.sleep(0.2)
        raise AssertionError(f"only {found} of {expected}")

    @classmethod
    def run_program(cls, *arguments):
        made = subprocess.run([BINARY, "--data-dir", cls.data, *arguments], env=ENVIRONMENT, check=True,
                              capture_output=True, text=True, timeout=60)
        return json.loads(made.stdout) if "json" in arguments else made.stdout

    def test_the_command_of_the_readme_answers(self):
        command = re.search(r'duckdb -init views.sql -c "(.*?)"', README.read_text(), re.DOTALL)[1]
        found = self.connection.sql(command).fetchall()
        self.assertEqual(len(found), 10)
        self.assertTrue(all(name.startswith("host") and (lookups, people) == (1, 1) for name, lookups, people in found))

    def test_each_dataset_holds_what_was_sent(self):
        for dataset, batches in SENT.items():
            counted = self.connection.sql(f"SELECT count(*), count(DISTINCT identifier) FROM {dataset}").fetchall()
            self.assertEqual(counted, [(sum(map(len, batches)), 7)])

    def test_a_record_is_as_it_came(self):
        found = self.connection.sql("SELECT raw, QueryName FROM gateway_dns WHERE QueryID = 'query-120'").fetchall()
        self.assertEqual([(json.loads(raw), name) for raw, name in found], [(dns(120), "host120.example")])

    def test_times_of_every_form_are_times(self):
        found = self.connection.sql("""SELECT QueryID, epoch("at")::BIGINT FROM gateway_dns
                                       WHERE QueryID BETWEEN 'query-200' AND 'query-203' ORDER BY 1""").fetchall()
        seconds = [1795166045, 1795166045, 1763630045, 1763630045]
        self.assertEqual(found, [(f"query-{200 + place}", second) for place, second in enumerate(seconds)])

    def test_every_part_is_as_it_was_written(self):
        self.assertEqual(self.run_program("-o", "json", "archive", "verify"), [])


if __name__ == "__main__":
    unittest.main()
