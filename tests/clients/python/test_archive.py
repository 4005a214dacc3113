"""DuckDB reads the archive as it lies, without Flareward, by the command of README.md.

Starts the program, sends it batches of two datasets with times in every form that Cloudflare has and a line that is
rejected, and lets DuckDB count the records of the archive's folder.
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


# Batches by dataset. They differ in size; the archive keeps each as a file of its own.
SENT = {
    "gateway_dns": [[dns(number) for number in range(start, start + count)] for start, count in [(0, 120), (120, 1), (121, 79)]],
    "gateway_http": [[http(number) for number in range(start, start + count)] for start, count in [(0, 30), (30, 45)]],
}


# The same instant in each form, in a batch of its own: DuckDB must not settle on the first that it meets.
TIMES = ["2026-11-20T09:14:05Z", "2026-11-20T09:14:05.123456789Z", 1763630045, 1763630045123456789]
for place, time in enumerate(TIMES):
    SENT["gateway_dns"].append([{**dns(200 + place), "Datetime": time, "ResolvedIPs": [] if place % 2 else None}])
REJECTED = '{"Datetime": "2026-11-20T09:14:05Z", "Email": "person'
README = Path(__file__).parents[3] / "README.md"


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        data = Path(cls.folder.name, "data")
        secret = cls.connect(data)
        cls.address = cls.serve(data)
        for dataset, batches in SENT.items():
            for batch in batches:
                cls.send(dataset, batch, secret)
        cls.archive = data / "archive"

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

    def query(self, select):
        files = f"{self.archive}/dataset=*/date=*/hour=*/*.ndjson.gz"
        # The program also pulls what the sandbox's account has, under other datasets.
        sent = ", ".join(f"'{dataset}'" for dataset in SENT)
        source = f"read_ndjson_objects('{files}', hive_partitioning=true, ignore_errors=true)"
        return duckdb.sql(select.format(source=f"(FROM {source} WHERE json IS NOT NULL AND dataset IN ({sent}))")).fetchall()

    def test_the_command_of_the_readme_answers(self):
        command = re.search(r'duckdb -c "(.*?)"', README.read_text(), re.DOTALL)[1]
        command = command.replace("flareward-data/archive", str(self.archive))
        counted = {dataset: (records, people) for dataset, records, people in duckdb.sql(command).fetchall()}
        for dataset, batches in SENT.items():
            self.assertEqual(counted[dataset], (sum(map(len, batches)), 7))

    def test_each_dataset_holds_what_was_sent(self):
        counted = self.query("SELECT dataset, count(*) FROM {source} GROUP BY dataset ORDER BY dataset")
        sent = sorted((dataset, sum(map(len, batches))) for dataset, batches in SENT.items())
        self.assertEqual(counted, sent)

    def test_a_record_is_as_it_came(self):
        found = self.query("SELECT DISTINCT json->>'QueryName' FROM {source} WHERE dataset = 'gateway_dns' AND json->>'QueryID' = 'query-120'")
        self.assertEqual(found, [("host120.example",)])
        people = self.query("SELECT count(DISTINCT json->>'Email') FROM {source}")
        self.assertEqual(people, [(7,)])

    def test_the_day_and_the_hour_are_columns(self):
        parts = self.query("SELECT DISTINCT date IS NOT NULL AND hour IS NOT NULL FROM {source}")
        self.assertEqual(parts, [(True,)])


if __name__ == "__main__":
    unittest.main()
