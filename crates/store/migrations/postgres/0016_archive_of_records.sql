-- Records live in the archive as Parquet parts; this is the list of them. `dropped_at` is set when a part was replaced or
-- removed: readers that began before may still read its object, which is deleted later.
CREATE TABLE part (
    path TEXT PRIMARY KEY,
    dataset TEXT NOT NULL,
    records BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    first_us BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    first_identifier TEXT,
    last_identifier TEXT,
    made_at TIMESTAMPTZ NOT NULL,
    dropped_at TIMESTAMPTZ,
    verified_at TIMESTAMPTZ NOT NULL,
    problem TEXT
);
CREATE INDEX part_by_time ON part (last_us, path) WHERE dropped_at IS NULL;
CREATE INDEX part_by_dataset ON part (dataset, last_us, path) WHERE dropped_at IS NULL;
CREATE INDEX part_dropped ON part (dropped_at) WHERE dropped_at IS NOT NULL;
CREATE INDEX part_with_problem ON part (path) WHERE dropped_at IS NULL AND problem IS NOT NULL;
CREATE INDEX part_unverified ON part (verified_at) WHERE dropped_at IS NULL;

-- The records that matches and detections refer to, as they came. `is_held`: a detection refers to it.
CREATE TABLE evidence (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    identifier TEXT,
    is_person BOOLEAN NOT NULL,
    action TEXT,
    target TEXT,
    source_ip TEXT,
    country TEXT,
    batch_id TEXT NOT NULL,
    raw TEXT NOT NULL,
    kept_at TIMESTAMPTZ NOT NULL,
    is_held BOOLEAN NOT NULL
);
CREATE INDEX evidence_by_identifier ON evidence (identifier) WHERE identifier IS NOT NULL;
CREATE INDEX evidence_loose ON evidence (kept_at) WHERE NOT is_held;
INSERT INTO evidence
    SELECT id, connection_id, dataset, at, identifier,
        identifier IS NOT NULL AND SUBSTR(identifier, 1, 13) <> 'non_identity@', action, target, source_ip, country,
        batch_id, raw, at, TRUE
    FROM event WHERE id IN (
        SELECT event_id FROM detection
        UNION SELECT value FROM detection, jsonb_array_elements_text(detection.evidence::jsonb)
        UNION SELECT event_id FROM rule_hit
    );
CREATE INDEX rule_hit_by_event ON rule_hit (event_id);
CREATE INDEX test_match_by_event ON test_match (event_id);

-- The records of before, until they are in the archive.
DROP INDEX event_by_time;
DROP INDEX event_by_person;
DROP INDEX event_by_batch;
DROP INDEX event_unmapped;
ALTER TABLE event RENAME TO event_before;

-- What waited for the rules is processed again from its object.
DROP INDEX batch_waiting;
DROP INDEX batch_by_replay;
DROP INDEX rule_hit_by_batch;
UPDATE batch SET state = 'archived', claimed_by = NULL, claimed_until_ms = 0 WHERE state = 'stored';
CREATE INDEX batch_waiting ON batch (received_at, id) WHERE state = 'archived';
ALTER TABLE batch DROP COLUMN replay_id;
ALTER TABLE batch DROP COLUMN again;
-- Whether the object as it came is still in the archive.
ALTER TABLE batch ADD COLUMN has_object BOOLEAN NOT NULL DEFAULT TRUE;
CREATE INDEX batch_with_object ON batch (id) WHERE has_object;
UPDATE operation SET finished_at = asked_at, outcome = 'failed',
    problem = 'Flareward was upgraded before the replay ended: request it again'
    WHERE kind = 'replay' AND finished_at IS NULL;

-- When each identifier was first and last seen.
CREATE TABLE identifier_seen (
    identifier TEXT NOT NULL,
    dataset TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    first_at TIMESTAMPTZ NOT NULL,
    last_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (identifier, dataset, connection_id)
);
CREATE INDEX identifier_seen_by_source ON identifier_seen (connection_id, dataset, identifier);
INSERT INTO identifier_seen
    SELECT identifier, dataset, connection_id, MIN(at), MAX(at) FROM event_before
    WHERE identifier IS NOT NULL GROUP BY identifier, dataset, connection_id;
