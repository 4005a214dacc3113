-- Views over the archive of Flareward, for Trino with a catalog "hive" of the Hive connector.
-- The catalog's properties must have:
--   hive.recursive-directories=true
--   hive.timestamp-precision=MICROSECONDS
-- and the access to the bucket or folder. A query fails while a folder of the dataset holds an object that is no
-- part, such as a batch that is not processed yet: point external_location at a copy of the parts then.

CREATE SCHEMA IF NOT EXISTS hive.flareward;

CREATE TABLE IF NOT EXISTS hive.flareward."gateway_dns_files" (
    "id" varbinary,
    "at" timestamp(6),
    "identifier" varchar,
    "is_person" boolean,
    "action" varchar,
    "target" varchar,
    "source_ip" varchar,
    "country" varchar,
    "connection_id" varchar,
    "batch_id" varchar,
    "line" bigint,
    "is_repaired" boolean,
    "raw" varchar
) WITH (external_location = 'file:///srv/flareward-data/archive/dataset=gateway_dns/', format = 'PARQUET');
CREATE OR REPLACE VIEW hive.flareward."gateway_dns_parts" AS
SELECT
    lower(to_hex(id)) AS id,
    with_timezone("at", 'UTC') AS "at",
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
    json_extract_scalar(raw, '$["Datetime"]') AS "Datetime",
    coalesce(json_extract_scalar(raw, '$["QueryName"]'), nullif(json_format(json_extract(raw, '$["QueryName"]')), 'null')) AS "QueryName",
    TRY_CAST(json_extract_scalar(raw, '$["SrcPort"]') AS bigint) AS "SrcPort",
    TRY_CAST(json_extract_scalar(raw, '$["Score"]') AS double) AS "Score",
    TRY_CAST(json_extract_scalar(raw, '$["IsResponseCached"]') AS boolean) AS "IsResponseCached",
    TRY_CAST(json_extract(raw, '$["ResolvedIPs"]') AS array(varchar)) AS "ResolvedIPs",
    TRY_CAST(json_extract(raw, '$["QueryCategoryIDs"]') AS array(bigint)) AS "QueryCategoryIDs",
    nullif(json_format(json_extract(raw, '$["ResourceRecords"]')), 'null') AS "ResourceRecords",
    coalesce(json_extract_scalar(raw, '$["Action"]'), nullif(json_format(json_extract(raw, '$["Action"]')), 'null')) AS "field_Action",
    raw
FROM hive.flareward."gateway_dns_files";
CREATE OR REPLACE VIEW hive.flareward."gateway_dns" AS
SELECT "id", "at", "identifier", "is_person", "action", "target", "source_ip", "country", "connection_id", "batch_id", "line", "is_repaired", "Datetime", "QueryName", "SrcPort", "Score", "IsResponseCached", "ResolvedIPs", "QueryCategoryIDs", "ResourceRecords", "field_Action", "raw"
FROM (SELECT *, row_number() OVER (PARTITION BY id) AS repeat_number FROM hive.flareward."gateway_dns_parts")
WHERE repeat_number = 1;
