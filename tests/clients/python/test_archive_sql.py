"""The views of `flareward archive sql` in DuckDB, and in ClickHouse where `chdb` is installed.

Writes parts with Flareward's own writer: several datasets, times in every form that Cloudflare has, rejected lines,
unusual content, repeated records, records of many hours in one part, and other objects beside the parts.
`FLAREWARD_BINARY` is the program, `FLAREWARD_WRITE_PARTS` its example `write_parts`. Run with `python -m unittest`.
"""

import gzip
import json
import logging
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import boto3
import duckdb
from moto.server import ThreadedMotoServer

try:
    from chdb.session import Session
except ImportError:
    # Half a gigabyte: `pip install chdb` to run these tests.
    Session = None

BINARY = os.environ["FLAREWARD_BINARY"]
ROOT = Path(__file__).parents[3]
EXAMPLES = (ROOT / "docs/archive.md").read_text()
WRITE_PARTS = os.environ["FLAREWARD_WRITE_PARTS"]
KEYS = {
    "id": "VARCHAR", "at": "TIMESTAMP WITH TIME ZONE", "identifier": "VARCHAR", "is_person": "BOOLEAN", "action": "VARCHAR",
    "target": "VARCHAR", "source_ip": "VARCHAR", "country": "VARCHAR", "connection_id": "VARCHAR", "batch_id": "VARCHAR",
    "line": "UBIGINT", "is_repaired": "BOOLEAN", "raw": "VARCHAR",
}
HOUR = "date=2026-11-27/hour=08"
# The same instant in each form, with what the view must show.
TIMES = {
    "rfc3339": "2026-11-27T08:02:00Z",
    "offset": "2026-11-27T09:02:00+01:00",
    "rfc3339ns": "2026-11-27T08:02:00.000000999Z",
    "unix": 1795766520,
    "unixms": 1795766520000,
    "unixus": 1795766520000000,
    "unixnano": 1795766520000000000,
    "quoted": "1795766520000000000",
}
INSTANT = 1795766520000000


def dns(query, **fields):
    record = {"Datetime": "2026-11-27T08:00:00Z", "Email": "ben.carter@tidewater.example", "QueryID": query,
              "QueryName": f"{query}.example", "ResolverDecision": "allowedOnNoPolicyMatch"}
    return {**record, **fields}


# Values of a time field other than the time of the record, to microseconds since 1970.
STRANGE_TIMES = [
    ("2026-11-27T08:02:00.5Z", INSTANT + 500000), ("2026-11-27 08:02:00.5", INSTANT + 500000), ("2026-11-27T08:02:00-0000", INSTANT),
    ("", None), ("soon", None), ("soonZ", None), ("1795766520.5", None), (1795766520.5, None), (None, None), (True, None), ({"a": 1}, None), ([1], None),
    (-1, -1000000), (9999999999999999999, None), ("Z", None), ("2026-13-45T99:99:99Z", None), (9223372036854775807, 9223372036854775),
    (10**15, 10**15), (10**14, 10**14), (10**14 - 1, (10**14 - 1) * 1000),
]
LISTS = {"ResolvedIPs", "QueryCategoryIDs"}
# QueryID to the value in the record, and to the expected values of columns.
UNUSUAL = {
    "nulls": ({"SrcPort": None, "QueryName": None, "ResolvedIPs": None, "ResourceRecords": None},
              {"SrcPort": None, "QueryName": None, "ResolvedIPs": None, "ResourceRecords": None}),
    "missing": ({}, {"SrcPort": None, "ResolvedIPs": None, "IsResponseCached": None, "ResourceRecords": None}),
    "usual": ({"SrcPort": 53, "IsResponseCached": True, "ResolvedIPs": ["192.0.2.1", "2001:db8::1"], "QueryCategoryIDs": [26, 155]},
              {"SrcPort": 53, "IsResponseCached": True, "ResolvedIPs": ["192.0.2.1", "2001:db8::1"], "QueryCategoryIDs": [26, 155]}),
    "beyond-53-bits": ({"SrcPort": 9007199254740993}, {"SrcPort": 9007199254740993}),
    "beyond-64-bits": ({"SrcPort": 18446744073709551615}, {"SrcPort": None}),
    "number-for-text": ({"QueryName": 9007199254740993}, {"QueryName": "9007199254740993"}),
    "fraction": ({"SrcPort": 1.5}, {"SrcPort": None}),
    "text-for-number": ({"SrcPort": "many"}, {"SrcPort": None}),
    "quoted-number": ({"SrcPort": "53"}, {"SrcPort": 53}),
    "object-for-number": ({"SrcPort": {"a": 1}}, {"SrcPort": None}),
    "truth-for-number": ({"SrcPort": True}, {"SrcPort": None}),
    "text-for-truth": ({"IsResponseCached": "perhaps"}, {"IsResponseCached": None}),
    "object-for-text": ({"QueryName": {"b": [1, "é"]}}, {"QueryName": '{"b":[1,"é"]}'}),
    "text-for-list": ({"ResolvedIPs": "192.0.2.1"}, {"ResolvedIPs": None}),
    "object-for-list": ({"ResolvedIPs": {"a": 1}}, {"ResolvedIPs": None}),
    "empty-list": ({"ResolvedIPs": [], "QueryCategoryIDs": []}, {"ResolvedIPs": [], "QueryCategoryIDs": []}),
    "mixed-list": ({"ResolvedIPs": ["x", 1, None, {"q": 1}], "QueryCategoryIDs": [1, 2.5, "x", None, 9007199254740993]},
                   {"ResolvedIPs": ["x", "1", None, '{"q":1}'], "QueryCategoryIDs": [1, None, None, None, 9007199254740993]}),
    "nested": ({"ResourceRecords": [{"type": "A", "data": {"deep": [[1], ["ü"]]}}]},
               {"ResourceRecords": '[{"type":"A","data":{"deep":[[1],["ü"]]}}]'}),
    "text-for-object": ({"ResourceRecords": "none"}, {"ResourceRecords": "none"}),
    "control": ({"QueryName": "a\u0000b\u0001\t\n\u001f\u007f\u2028"}, {"QueryName": "a\u0000b\u0001\t\n\u001f\u007f\u2028"}),
    "letters": ({"QueryName": "bücher.例え.🦀'\"\\$"}, {"QueryName": "bücher.例え.🦀'\"\\$"}),
    "empty": ({"QueryName": "", "SrcPort": "", "SrcIP": ""}, {"QueryName": "", "SrcPort": None, "SrcIP": ""}),
}


def lines(records):
    return [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records]


BATCHES = [
    *({"dataset": "gateway_dns", "part": f"{HOUR}/part-time-{name}.parquet", "batch": name, "lines": lines([dns(f"time-{name}", Datetime=time)])}
      for name, time in TIMES.items()),
    {"dataset": "gateway_dns", "part": f"{HOUR}/part-rejects.parquet", "batch": "rejects",
     "lines": lines([dns("before"), '{"Datetime": "2026-11-27T08:00:00Z", "Email": "ben', dns("after")])},
    {"dataset": "gateway_dns", "part": f"{HOUR}/part-unusual.parquet", "batch": "unusual",
     "lines": lines([dns(query, **value) for query, (value, _) in UNUSUAL.items()])},
    {"dataset": "gateway_dns", "part": "date=2026-11-27/hour=09/part-again.parquet", "batch": "again",
     "lines": lines([dns("before"), dns("only-again", Datetime="2026-11-27T09:00:00Z")])},
    {"dataset": "gateway_dns", "part": "date=mixed/hour=mixed/part-many-hours.parquet", "batch": "many",
     "lines": lines([dns("after"), *(dns(f"day-{day}", Datetime=f"2026-10-{day:02}T{day:02}:30:00Z") for day in range(1, 24))])},
    {"dataset": "gateway_network", "part": f"{HOUR}/part-1.parquet", "batch": "network",
     "lines": lines([{"Datetime": 1795766580123456789, "Email": "ben.carter@tidewater.example", "SessionID": "n1", "Action": "allow",
                      "SNI": "y.example", "SourceIP": "10.0.0.1", "DestinationPort": 443}])},
    {"dataset": "casb_findings", "part": f"{HOUR}/part-1.parquet", "batch": "casb",
     "lines": lines([{"DetectedTimestamp": "2026-11-27T08:02:00Z", "FindingTypeID": "f", "AssetExternalID": external, "InstanceID": "i",
                      "AssetMetadata": metadata} for external, metadata in [("e1", {"Email": "ben.carter@tidewater.example"}), ("e2", "[]")]])},
    {"dataset": "access_requests", "part": "date=mixed/hour=mixed/part-1.parquet", "batch": "access",
     "lines": lines([{"CreatedAt": "2026-11-27T08:02:00Z", "Email": "Ana@Corp.Example", "RayID": "r1", "Action": "Login", "Allowed": False,
                      "Country": "pt", "IPAddress": "2001:db8::1", "TemporaryAccessApprovers": ["a@corp.example"], "TemporaryAccessDuration": 0}])},
    {"dataset": "audit_logs", "part": f"{HOUR}/part-1.parquet", "batch": "audit",
     "lines": lines([{"When": 1795766520, "ID": "Audit-1", "ActorEmail": "", "ActionResult": True, "Metadata": None, "NewValue": {"a": [None]}}])},
    {"dataset": "device_posture_results", "part": f"{HOUR}/part-1.parquet", "batch": "posture",
     "lines": lines([{"Timestamp": "2026-11-27T08:02:00Z", "Email": "ana@corp.example", "DeviceID": "d", "PolicyID": "p",
                      "PostureExpectedJSON": {"a": 1}, "PostureReceivedJSON": []}])},
]
BATCHES.append({
    "dataset": "email_security_post_delivery_events", "part": f"{HOUR}/part-1.parquet", "batch": "mail",
    "lines": lines([{"CompletedAt": "2026-11-27T08:02:00Z", "Recipient": f"{place}@corp.example", "RequestedAt": time}
                    for place, (time, _) in enumerate(STRANGE_TIMES)]),
})
DNS_RECORDS = {f"time-{name}" for name in TIMES} | {"before", "after", "only-again"} | set(UNUSUAL) | {f"day-{day}" for day in range(1, 24)}
DNS_ROWS = len(DNS_RECORDS) + 2


def archive(folder):
    """An archive with the parts, and other objects beside them."""
    written = subprocess.run([WRITE_PARTS, folder], input="".join(json.dumps(batch) + "\n" for batch in BATCHES),
                             check=True, capture_output=True, text=True, timeout=120)
    for path in [f"dataset=gateway_dns/{HOUR}/c-{'ab' * 32}.ndjson.gz", f"dataset=ssh_logs/{HOUR}/c-{'cd' * 32}.ndjson.gz",
                 "incoming/part-1.parquet", f"dataset=gateway_dns/{HOUR}/part-1.parquet.tmp", "exports/grants.csv"]:
        other = folder / path
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(gzip.compress(json.dumps(dns("in-a-batch")).encode()))
    return [json.loads(line) for line in written.stdout.splitlines()]


def printed(engine, folder, code=0, **settings):
    environment = {"PATH": os.environ["PATH"], "FLAREWARD_ARCHIVE_URL": f"file://{folder}", **settings}
    ended = subprocess.run([BINARY, "archive", "sql", engine], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == code, ended.stderr
    return ended.stdout


class Views:
    """What holds in every engine; `rows` runs a query."""

    def test_there_is_one_row_for_each_record_and_the_parts_have_repeats(self):
        self.assertEqual(self.rows("SELECT count(*), count(DISTINCT id) FROM gateway_dns"), [(len(DNS_RECORDS), len(DNS_RECORDS))])
        self.assertEqual(self.rows("SELECT count(*) FROM gateway_dns_parts"), [(DNS_ROWS,)])
        self.assertEqual({query for query, in self.rows('SELECT "QueryID" FROM gateway_dns')}, DNS_RECORDS)
        [batch] = [done for batch, done in zip(BATCHES, self.written) if batch["batch"] == "rejects"]
        self.assertEqual((len(batch["ids"]), batch["rejected"]), (2, 1))
        for dataset, count in [("gateway_network", 1), ("casb_findings", 2), ("access_requests", 1), ("audit_logs", 1)]:
            self.assertEqual(self.rows(f"SELECT count(*) FROM {dataset}"), [(count,)])

    def test_a_record_has_the_id_that_flareward_shows(self):
        ids = {value for batch, done in zip(BATCHES, self.written) if batch["dataset"] == "gateway_dns" for value in done["ids"]}
        self.assertEqual({value for value, in self.rows("SELECT id FROM gateway_dns")}, ids)

    def test_every_form_of_time_is_the_same_instant(self):
        at, time = self.micros('"at"'), self.micros('"Datetime"')
        rows = self.rows(f'''SELECT {at}, {time} FROM gateway_dns WHERE "QueryID" LIKE 'time-%' ''')
        self.assertEqual(rows, [(INSTANT, INSTANT)] * len(TIMES))
        rows = self.rows(f"SELECT {at}, {time}, \"SNI\" FROM gateway_network")
        self.assertEqual(rows, [(1795766580123456, 1795766580123456, "y.example")])
        mixed = self.rows(f'''SELECT {time} - {at} FROM gateway_dns WHERE "QueryID" LIKE 'day-%' ''')
        self.assertEqual(mixed, [(0,)] * 23)

    def test_a_strange_time_is_null(self):
        found = dict(self.rows(f'SELECT identifier, {self.micros(chr(34) + "RequestedAt" + chr(34))} FROM email_security_post_delivery_events'))
        for place, (time, expected) in enumerate(STRANGE_TIMES):
            with self.subTest(time):
                self.assertEqual(found[f"{place}@corp.example"], expected)

    def test_unusual_values_are_exact_or_null(self):
        for query, (_, expected) in UNUSUAL.items():
            columns = ", ".join(f'"{name}"' for name in expected)
            with self.subTest(query):
                [row] = self.rows(f'''SELECT {columns} FROM gateway_dns WHERE "QueryID" = '{query}' ''')
                self.assertEqual(row, tuple(self.value(name, value) for name, value in expected.items()))

    def test_the_record_is_as_it_came(self):
        sent = {line for batch in BATCHES if batch["dataset"] == "gateway_dns" for line in batch["lines"] if line.endswith("}")}
        self.assertEqual({raw for raw, in self.rows("SELECT raw FROM gateway_dns")}, sent)

    def test_fields_that_share_a_name_with_a_column_are_both_there(self):
        rows = self.rows('SELECT action, "field_Action", country, "field_Country", identifier, "Email", "Allowed", "TemporaryAccessDuration", '
                         '"TemporaryAccessApprovers" FROM access_requests')
        self.assertEqual(rows, [("Login", "Login", "PT", "pt", "ana@corp.example", "Ana@Corp.Example", False, 0, ["a@corp.example"])])
        rows = self.rows('SELECT "field_ID", "Metadata", "NewValue", "ActorEmail", identifier, "ActionResult" FROM audit_logs')
        self.assertEqual(rows, [("Audit-1", None, '{"a":[null]}', "", None, True)])

    def test_objects_are_json(self):
        rows = self.rows('SELECT "AssetMetadata", identifier FROM casb_findings ORDER BY "AssetExternalID"')
        self.assertEqual(rows, [('{"Email":"ben.carter@tidewater.example"}', "ben.carter@tidewater.example"), ("[]", None)])


class DuckDb(Views, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        # Names that mean something in SQL and in patterns.
        cls.folder = Path(holder.name, "it's [a] *b? é")
        cls.folder.mkdir()
        cls.written = archive(cls.folder)
        cls.script = printed("duckdb", cls.folder)
        cls.database = duckdb.connect()
        cls.addClassCleanup(cls.database.close)
        # A time without its zone must not follow that of the session.
        cls.database.execute("SET TimeZone = 'America/New_York'")
        cls.database.execute(cls.script)

    def rows(self, query):
        return self.database.execute(query).fetchall()

    def micros(self, column):
        return f"epoch_us({column})"

    def value(self, _, value):
        return value

    def test_the_columns_are_the_fields_with_their_types(self):
        types = {"": "VARCHAR", "string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "object": "VARCHAR",
                 "array[object]": "VARCHAR", "int or string": "TIMESTAMP WITH TIME ZONE", "array[string]": "VARCHAR[]", "array[int]": "BIGINT[]"}
        reference = ROOT / "crates/rules/src/dataset_fields.tsv"
        fields = [(line.split("\t") + [""])[:3] for line in reference.read_text().splitlines()]
        for dataset in {batch["dataset"] for batch in BATCHES}:
            expected = dict(KEYS)
            for name, kind in ((name, kind) for of, name, kind in fields if of == dataset):
                expected[f"field_{name}" if name.lower() in KEYS else name] = types[kind]
            for view in [dataset, f"{dataset}_parts"]:
                described = self.database.execute(f"DESCRIBE {view}").fetchall()
                self.assertEqual({row[0]: row[1] for row in described}, expected)
                # Every column of every record can be read.
                self.database.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {view}").fetchall()

    def test_the_example_of_the_documentation_runs(self):
        query = re.search(r'duckdb -init views.sql -c "((?:[^"\\]|\\.)*)"', EXAMPLES)[1].replace('\\"', '"')
        self.rows(query)
        self.assertEqual(len(self.rows(query.replace("blocked%", "allowed%").replace("7 DAYS", "99 YEARS"))), 20)

    def test_only_datasets_with_parts_have_views_and_the_script_names_the_others(self):
        views = {name for name, in self.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
        datasets = {batch["dataset"] for batch in BATCHES}
        self.assertEqual(views, datasets | {f"{dataset}_parts" for dataset in datasets})
        self.assertIn("ssh_logs", self.script.splitlines()[-1])

    def test_an_archive_without_parts_gives_a_script_without_views(self):
        with tempfile.TemporaryDirectory() as empty:
            script = printed("duckdb", empty)
            duckdb.connect().execute(script)
            self.assertNotIn("CREATE OR REPLACE VIEW", script)
            self.assertIn("gateway_dns", script)
        printed("duckdb", "/nonexistent", code=5)

    def test_the_script_can_be_run_again_and_the_views_are_found_from_another_database(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "views.duckdb")
            with duckdb.connect(str(file)) as database:
                database.execute(self.script)
                database.execute(self.script)
            with duckdb.connect() as other:
                other.execute(f"ATTACH '{file}' AS logs (READ_ONLY)")
                found = other.execute("SELECT count(Datetime), count(SrcPort), count(QueryCategoryIDs) FROM logs.gateway_dns").fetchall()
                self.assertEqual(found[0][0], len(DNS_RECORDS))

    def test_a_filter_reaches_the_parts_below_the_removal_of_repeats(self):
        [(_, plan)] = self.rows('''EXPLAIN SELECT "at", QueryName FROM gateway_dns WHERE identifier = 'a@b.c' ''')
        read = plan[plan.upper().index("PARQUET"):]
        self.assertRegex(read, "identifier ?= ?'a@b.c'")

    def test_a_damaged_record_has_no_fields_and_stops_no_query(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            archive(folder)
            part = folder / f"dataset=gateway_dns/{HOUR}/part-rejects.parquet"
            damaged = part.with_name("part-damaged.parquet")
            database = duckdb.connect()
            database.execute(f"""COPY (SELECT * REPLACE (encode('damaged-' || line) AS id, '{{"QueryID":"be' AS raw) FROM '{part}') TO '{damaged}'""")
            database.execute(printed("duckdb", folder))
            rows = database.execute("SELECT count(*), count(identifier), count(QueryID), count(Datetime) FROM gateway_dns").fetchall()
            self.assertEqual(rows, [(len(DNS_RECORDS) + 2, len(DNS_RECORDS) + 2, len(DNS_RECORDS), len(DNS_RECORDS))])


@unittest.skipUnless(Session, "chdb is not installed")
class ClickHouse(Views, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        # A pattern of ClickHouse cannot name some characters.
        cls.folder = Path(holder.name, "it's é")
        cls.folder.mkdir()
        cls.written = archive(cls.folder)
        cls.session = Session()
        cls.addClassCleanup(cls.session.close)
        for statement in printed("clickhouse", cls.folder).split(";\n"):
            cls.session.query(statement)

    def rows(self, query):
        answer = str(self.session.query(query, "JSONCompactEachRow"))
        return [tuple(json.loads(line)) for line in answer.splitlines()]

    def micros(self, column):
        return f"toUnixTimestamp64Micro({column})"

    def value(self, name, value):
        # A list is never NULL in ClickHouse.
        return [] if value is None and name in LISTS else value

    def test_the_example_of_the_documentation_runs(self):
        query = re.search(r'clickhouse-client --query "(.*?)"', EXAMPLES)[1]
        self.assertEqual(self.rows(query), [])
        self.assertEqual(self.rows(query.replace("gateway_http", "access_requests")), [("2026-11-27", "Login", 1)])

    def test_a_dataset_without_parts_is_an_empty_view(self):
        self.assertEqual(self.rows("SELECT count(*) FROM ssh_logs"), [(0,)])

    def test_a_bucket_is_read_with_the_keys_of_the_named_collection(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self.addCleanup(server.stop)
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
        s3.create_bucket(Bucket="logs")
        for file in self.folder.rglob("*.*"):
            s3.upload_file(str(file), "logs", f"zero/trust/{file.relative_to(self.folder)}")
        script = printed("clickhouse", None, FLAREWARD_ARCHIVE_URL="s3://logs/zero/trust", FLAREWARD_ARCHIVE_ENDPOINT=endpoint,
                         FLAREWARD_EGRESS_ALLOW_HTTP="true")
        [collection] = re.findall(r"^--   (CREATE NAMED COLLECTION .*);$", script, re.MULTILINE)
        self.session.query(collection.replace("'KEY_ID'", "'id'").replace("'SECRET_KEY'", "'secret'"))
        self.session.query("CREATE DATABASE bucket")
        for statement in re.sub("VIEW |FROM (?=\")", r"\g<0>bucket.", script).split(";\n"):
            self.session.query(statement)
        self.assertEqual(self.rows("SELECT count(*) FROM bucket.gateway_dns"), [(len(DNS_RECORDS),)])
        self.assertEqual(self.rows("SELECT count(*) FROM bucket.ssh_logs_parts"), [(0,)])


if __name__ == "__main__":
    unittest.main()
