-- Rules that look at several matches, one detection for repeated matches, and what an organisation says about rules.

-- Rebuilt: several detections of one rule may have one event, when its fields hold lists.
CREATE TABLE detection_new (
    id TEXT PRIMARY KEY,
    rule_id TEXT NOT NULL,
    rule_name TEXT NOT NULL,
    title TEXT NOT NULL,
    level TEXT NOT NULL,
    behaviour TEXT,
    topic TEXT,
    event_id TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    identifier TEXT,
    at TEXT NOT NULL,
    detected_at TEXT NOT NULL,
    detail TEXT,
    watch TEXT,
    group_key TEXT,
    matches INTEGER NOT NULL,
    last_at TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT;
INSERT INTO detection_new
    SELECT id, rule_id, rule_name, title, level, behaviour, topic, event_id, connection_id, dataset, person_id,
        identifier, at, detected_at, detail, NULL, NULL, 1, at, '[]'
    FROM detection;
DROP TABLE detection;
ALTER TABLE detection_new RENAME TO detection;
CREATE INDEX detection_by_time ON detection (at, id);
CREATE INDEX detection_by_person ON detection (person_id, at, id);
CREATE INDEX detection_by_rule ON detection (rule_name, at);
CREATE INDEX detection_by_group ON detection (watch, group_key, at);

-- Matches, as long as they may bear on others.
CREATE TABLE rule_hit (
    watch TEXT NOT NULL,
    group_key TEXT NOT NULL,
    slot TEXT NOT NULL,
    part INTEGER NOT NULL,
    value TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    kept_at TEXT NOT NULL,
    PRIMARY KEY (watch, group_key, slot, part, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX rule_hit_by_time ON rule_hit (watch, at_us);
CREATE INDEX rule_hit_by_batch ON rule_hit (batch_id);

-- How far the time of each source has come, and how many records came too late for correlations.
CREATE TABLE watermark (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    at TEXT NOT NULL,
    late INTEGER NOT NULL,
    PRIMARY KEY (connection_id, dataset)
) STRICT;

-- Matches of rules in test mode: counted, and nothing else.
CREATE TABLE test_match (
    rule_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    who TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (rule_id, event_id)
) STRICT;

CREATE TABLE rule_mode (
    rule_id TEXT PRIMARY KEY,
    mode TEXT NOT NULL,
    set_at TEXT NOT NULL,
    set_by TEXT NOT NULL
) STRICT;

-- Every version of each document; the last one counts, and none without a text.
CREATE TABLE rule_document (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT,
    written_at TEXT NOT NULL,
    written_by TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE rule_parameter (
    name TEXT PRIMARY KEY,
    list TEXT NOT NULL,
    set_at TEXT NOT NULL,
    set_by TEXT NOT NULL
) STRICT;
