-- Views over the archive of Flareward, for ClickHouse.
-- The server reads only files below its user_files_path, which must be or contain /srv/flareward-data/archive

-- A time: RFC 3339, or a number since 1970 whose digits determine the unit.
CREATE OR REPLACE FUNCTION flareward_time AS t -> multiIf(
    toInt64OrNull(t) IS NULL, if(match(t, '^[0-9]{4}-'), parseDateTime64BestEffortOrNull(t, 6, 'UTC'), NULL),
    toInt64OrZero(t) BETWEEN -99999999999 AND 99999999999, fromUnixTimestamp64Micro(toInt64OrZero(t) * 1000000, 'UTC'),
    toInt64OrZero(t) BETWEEN -99999999999999 AND 99999999999999, fromUnixTimestamp64Micro(toInt64OrZero(t) * 1000, 'UTC'),
    toInt64OrZero(t) BETWEEN -99999999999999999 AND 99999999999999999, fromUnixTimestamp64Micro(toInt64OrZero(t), 'UTC'),
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(t), 1000), 'UTC'));

CREATE OR REPLACE VIEW "gateway_dns_parts" AS
SELECT
    lower(hex(part.id)) AS id,
    "at",
    "identifier",
    "is_person",
    "action",
    "target",
    "source_ip",
    "country",
    "connection_id",
    "batch_id",
    "line",
    "is_repaired",
    flareward_time(tupleElement(fields, 'Datetime')) AS "Datetime",
    tupleElement(fields, 'QueryName') AS "QueryName",
    toInt64OrNull(tupleElement(fields, 'SrcPort')) AS "SrcPort",
    toFloat64OrNull(tupleElement(fields, 'Score')) AS "Score",
    multiIf(tupleElement(fields, 'IsResponseCached') = 'true', true, tupleElement(fields, 'IsResponseCached') = 'false', false, NULL) AS "IsResponseCached",
    JSONExtract(ifNull(tupleElement(fields, 'ResolvedIPs'), ''), 'Array(Nullable(String))') AS "ResolvedIPs",
    arrayMap(x -> toInt64OrNull(x), JSONExtract(ifNull(tupleElement(fields, 'QueryCategoryIDs'), ''), 'Array(Nullable(String))')) AS "QueryCategoryIDs",
    tupleElement(fields, 'ResourceRecords') AS "ResourceRecords",
    tupleElement(fields, 'Action') AS "field_Action",
    raw
FROM (
    SELECT *, JSONExtract(raw, 'Tuple(`Datetime` Nullable(String), `QueryName` Nullable(String), `SrcPort` Nullable(String), `Score` Nullable(String), `IsResponseCached` Nullable(String), `ResolvedIPs` Nullable(String), `QueryCategoryIDs` Nullable(String), `ResourceRecords` Nullable(String), `Action` Nullable(String))') AS fields
    FROM file('/srv/flareward-data/archive/dataset=gateway_dns/date=*/hour=*/part-*.parquet', 'Parquet', 'id FixedString(16), at DateTime64(6, ''UTC''), identifier Nullable(String), is_person Bool, action Nullable(String), target Nullable(String), source_ip Nullable(String), country Nullable(String), connection_id String, batch_id String, line UInt64, is_repaired Bool, raw String')
) AS part
SETTINGS use_hive_partitioning = 0;
CREATE OR REPLACE VIEW "gateway_dns" AS SELECT * FROM "gateway_dns_parts" LIMIT 1 BY id;
