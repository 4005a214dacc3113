-- Views over the archive of Flareward, for DuckDB 1.4 or later.
-- Times are shown in the time zone of the session: SET TimeZone = 'UTC';
-- DuckDB needs access to the bucket. Put your key in place of KEY_ID and SECRET_KEY, and run this first:
--   INSTALL httpfs; LOAD httpfs;
--   CREATE SECRET (TYPE s3, KEY_ID 'KEY_ID', SECRET 'SECRET_KEY', SCOPE 's3://logs/zero/trust', ENDPOINT '0a1b.r2.cloudflarestorage.com', URL_STYLE 'path', USE_SSL true);

-- A whole number; NULL for any other text. A cast alone would round 1.5.
CREATE OR REPLACE MACRO flareward_integer(t) AS
    CASE WHEN regexp_full_match(t, '-?[0-9]+') THEN TRY_CAST(t AS BIGINT) END;

-- A time: RFC 3339, or a number since 1970 whose digits determine the unit.
CREATE OR REPLACE MACRO flareward_time(t) AS
    CASE
        WHEN t LIKE '%Z' THEN TRY_CAST(t AS TIMESTAMPTZ)
        WHEN flareward_integer(t) IS NULL THEN coalesce(TRY_CAST(t || 'Z' AS TIMESTAMPTZ), TRY_CAST(t AS TIMESTAMPTZ))
        WHEN flareward_integer(t) BETWEEN -99999999999 AND 99999999999
            THEN make_timestamptz(flareward_integer(t) * 1000000)
        WHEN flareward_integer(t) BETWEEN -99999999999999 AND 99999999999999
            THEN make_timestamptz(flareward_integer(t) * 1000)
        WHEN flareward_integer(t) BETWEEN -99999999999999999 AND 99999999999999999
            THEN make_timestamptz(flareward_integer(t))
        ELSE make_timestamptz(flareward_integer(t) // 1000)
    END;

-- Lists; NULL for a value that is none.
CREATE OR REPLACE MACRO flareward_texts(t) AS TRY_CAST(TRY_CAST(t AS JSON) AS VARCHAR[]);
CREATE OR REPLACE MACRO flareward_integers(t) AS [flareward_integer(x) FOR x IN flareward_texts(t)];

CREATE OR REPLACE VIEW "gateway_dns_parts" AS
SELECT
    lower(hex(id)) AS id,
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
    flareward_time(fields[1]) AS "Datetime",
    fields[2] AS "QueryName",
    flareward_integer(fields[3]) AS "SrcPort",
    TRY_CAST(fields[4] AS DOUBLE) AS "Score",
    TRY_CAST(fields[5] AS BOOLEAN) AS "IsResponseCached",
    flareward_texts(fields[6]) AS "ResolvedIPs",
    flareward_integers(fields[7]) AS "QueryCategoryIDs",
    fields[8] AS "ResourceRecords",
    fields[9] AS "field_Action",
    raw
FROM (
    SELECT *, TRY(raw ->> ['$."Datetime"', '$."QueryName"', '$."SrcPort"', '$."Score"', '$."IsResponseCached"', '$."ResolvedIPs"', '$."QueryCategoryIDs"', '$."ResourceRecords"', '$."Action"']) AS fields
    FROM read_parquet('s3://logs/zero/trust/dataset=gateway_dns/date=*/hour=*/part-*.parquet', hive_partitioning = false)
);
CREATE OR REPLACE VIEW "gateway_dns" AS SELECT DISTINCT ON (id) * FROM "gateway_dns_parts";
