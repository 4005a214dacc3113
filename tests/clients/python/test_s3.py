"""The archive in S3, and buckets that Logpush writes to, against moto, an S3 that others wrote.

Starts moto on a loopback port with two buckets: one is the archive, the other is filled as Logpush fills it.
`FLAREWARD_BINARY` is the program, `FLAREWARD_SANDBOX` what `flareward sandbox -o json` prints. Run with
`python -m unittest`.
"""

import gzip
import json
import logging
import os
import subprocess
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

INFO = json.loads(os.environ["FLAREWARD_SANDBOX"])
BINARY = os.environ["FLAREWARD_BINARY"]
KEYS = ("AKIAARCHIVE", "the-archive-secret")
NOW = datetime.now(timezone.utc)
# More than the least size of a part of an upload, packed: an object that is written in parts.
MANY = 60_000


def dns(number, email):
    return {
        "Datetime": (NOW - timedelta(minutes=5)).isoformat(timespec="seconds"),
        "Email": email,
        "QueryName": f"{os.urandom(60).hex()}.example",
        "QueryID": f"query-{number}",
        "ResolverDecision": "allowedOnNoPolicyMatch",
    }


def packed(records):
    return gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode())


class S3(unittest.TestCase):
    """One story, told in the order of the names."""

    @classmethod
    def setUpClass(cls):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        cls.addClassCleanup(server.stop)
        host, port = server.get_host_and_port()
        cls.endpoint = f"http://{host}:{port}"
        cls.s3 = boto3.client(
            "s3", endpoint_url=cls.endpoint, region_name="us-east-1",
            aws_access_key_id=KEYS[0], aws_secret_access_key=KEYS[1],
        )
        for bucket in ["archive", "pushed"]:
            cls.s3.create_bucket(Bucket=bucket)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.environment = {
            **os.environ,
            "FLAREWARD_DATA_DIR": str(cls.folder / "data"),
            "FLAREWARD_EGRESS_ALLOW_HTTP": "true",
            "FLAREWARD_EGRESS_ALLOW_LOOPBACK": "true",
            "FLAREWARD_ARCHIVE_URL": "s3://archive/zero/trust",
            "FLAREWARD_ARCHIVE_ENDPOINT": cls.endpoint,
            "FLAREWARD_ARCHIVE_KEEP_BATCHES_DAYS": "30",
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
        }
        token = cls.folder / "token"
        token.write_text(INFO["token"])
        cls.run_program("connect", "--label", "s3", "--account", INFO["account_id"], "--base-url", INFO["base_url"],
                        "--token-file", token)
        cls.run_program("sync")
        people = cls.rows("people", "list")
        cls.one, cls.other = [person["email"] for person in people[:2]]

    @classmethod
    def run_program(cls, *arguments, code=0):
        ended = subprocess.run(
            [BINARY, *map(str, arguments), "-o", "json"], env=cls.environment, capture_output=True, text=True, timeout=300
        )
        assert ended.returncode == code, f"{arguments} ended with {ended.returncode}: {ended.stderr}"
        return ended

    @classmethod
    def rows(cls, *arguments):
        return json.loads(cls.run_program(*arguments).stdout)

    @classmethod
    def objects(cls):
        pages = cls.s3.get_paginator("list_objects_v2").paginate(Bucket="archive")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [key for key in keys if not key.endswith(".parquet")]

    @classmethod
    def text(cls, key):
        return gzip.decompress(cls.s3.get_object(Bucket="archive", Key=key)["Body"].read()).decode()

    def found(self, email):
        return len(self.rows("events", "search", "--dataset", "gateway_dns", "--where", f"Email={email}", "--limit", "100000"))

    def replayed(self):
        return self.rows("events", "replay", "--since", "2000-01-01T00:00:00Z")["operation"]["result"]["records"]

    def test_1_batches_lie_in_the_bucket_by_dataset_day_and_hour(self):
        file = self.folder / "many.ndjson"
        records = [dns(number, self.one if number % 3 else self.other) for number in range(MANY)]
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        received = self.rows("ingest", "--dataset", "gateway_dns", file)
        self.assertEqual(received[0]["received"], "stored")
        again = self.rows("ingest", "--dataset", "gateway_dns", file)
        self.assertEqual(again[0]["received"], "duplicate")
        keys = self.objects()
        self.assertEqual(len(keys), 1, keys)
        self.assertRegex(keys[0], r"^zero/trust/batches/dataset=gateway_dns/date=\d{4}-\d\d-\d\d/hour=\d\d/[^/]+\.ndjson\.gz$")
        size = self.s3.head_object(Bucket="archive", Key=keys[0])["ContentLength"]
        self.assertGreater(size, 5 << 20)
        self.assertEqual(self.text(keys[0]), file.read_text())
        self.assertEqual(self.found(self.other), MANY // 3)
        self.assertEqual(self.replayed(), MANY)
        self.assertEqual(self.found(self.other), MANY // 3)
        [stats] = self.rows("archive", "stats")["datasets"]
        self.assertEqual((stats["dataset"], stats["records"]), ("gateway_dns", MANY))
        self.assertEqual(self.rows("archive", "verify"), [])
        # Nothing is left of uploads that did not end.
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket="archive"))

    def test_2_a_bucket_of_logpush_is_read_each_object_once(self):
        def put(days, name, numbers):
            day = (NOW - timedelta(days=days)).strftime("%Y%m%d")
            body = packed([dns(f"pushed-{number}", self.one) for number in numbers])
            self.s3.put_object(Bucket="pushed", Key=f"dns/{day}/{name}.log.gz", Body=body)

        put(3, "old", [1])
        put(1, "first", [2, 3])
        put(1, "second", [4])
        put(0, "third", [5])
        self.s3.put_object(Bucket="pushed", Key=f"dns/{NOW:%Y%m%d}/ownership-challenge.txt", Body=b"words")
        self.s3.put_object(Bucket="pushed", Key=f"other/{NOW:%Y%m%d}/else.log.gz", Body=packed([dns("else", self.one)]))
        # The same bucket needs another key.
        secret = self.folder / "secret"
        secret.write_text("another-secret")
        known = self.found(self.one)
        place = ["--from", "s3://pushed/dns/{DATE}", "--endpoint", self.endpoint, "--access-key-id", "AKIAOTHER",
                 "--secret-key-file", secret]
        dataset = ["logs", "objects", "--dataset", "gateway_dns"]
        [read] = self.rows(*dataset, *place)
        self.assertEqual((read["listed"], read["read"], read["set_aside"]), (3, 3, []))
        self.assertEqual(self.found(self.one), known + 4)
        [read] = self.rows(*dataset)
        self.assertEqual((read["listed"], read["read"]), (3, 0))
        day = (NOW - timedelta(days=4)).strftime("%Y-%m-%d")
        [read] = self.rows(*dataset, "--since", day)
        self.assertEqual((read["listed"], read["read"]), (4, 1))
        put(0, "fourth", [6])
        [read] = self.rows(*dataset)
        self.assertEqual((read["listed"], read["read"]), (4, 1))
        self.assertEqual(self.found(self.one), known + 6)
        self.assertEqual(len(self.objects()), 6)
        # A bucket that is not there is no bucket in which nothing lies.
        missing = ["--from", "s3://nowhere/dns/{DATE}", *place[2:]]
        said = self.run_program(*dataset, *missing, code=1).stderr
        self.assertIn("s3://nowhere", said)

    def test_3_a_purge_writes_the_objects_anew(self):
        before = self.objects()
        done = self.rows("events", "purge", "--person", self.one, "--reason", "asked", "--yes")
        self.assertGreater(done["objects"], 6, "parts are written anew, too")
        self.assertEqual(done["events"], MANY - MANY // 3 + 6)
        self.assertEqual(done["records"], MANY - MANY // 3 + 6)
        self.assertEqual(self.objects(), before)
        for key in before:
            self.assertNotIn(self.one, self.text(key), key)
        self.assertEqual(sum(self.text(key).count("\n") for key in before), MANY // 3)
        self.assertEqual((self.found(self.one), self.found(self.other)), (0, MANY // 3))
        again = self.rows("events", "purge", "--person", self.one, "--reason", "again", "--yes")
        self.assertEqual((again["objects"], again["records"], again["events"]), (0, 0, 0))
        self.assertEqual(self.replayed(), MANY // 3)
        self.assertEqual((self.found(self.one), self.found(self.other)), (0, MANY // 3))

    def test_4_the_views_name_the_bucket_and_no_key(self):
        self.s3.put_object(Bucket="archive", Key="zero/trust/dataset=ssh_logs/date=2026-11-27/hour=08/part-1.parquet", Body=b"PAR1")
        place = "zero/trust/dataset=ssh_logs/date=*/hour=*/part-*.parquet"
        for engine, expected in [("duckdb", f"'s3://archive/{place}'"), ("clickhouse", f"'{place[11:]}'"),
                                 ("trino", "'s3://archive/zero/trust/dataset=ssh_logs/'")]:
            ended = subprocess.run([BINARY, "archive", "sql", engine], env=self.environment, capture_output=True, text=True, timeout=60)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertIn(expected, ended.stdout)
            # DuckDB refuses a view of a dataset without parts.
            self.assertEqual(engine == "duckdb", 'VIEW "access_requests"' not in ended.stdout.replace("hive.flareward.", ""))
            for key in KEYS:
                self.assertNotIn(key, ended.stdout)


if __name__ == "__main__":
    unittest.main()
