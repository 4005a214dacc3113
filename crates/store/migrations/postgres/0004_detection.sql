-- Rules that look at several matches, one detection for repeated matches, and what an organisation says about rules.

-- Several detections of one rule may have one event, when its fields hold lists.
ALTER TABLE detection DROP CONSTRAINT detection_rule_id_event_id_key;
ALTER TABLE detection ADD COLUMN watch TEXT;
ALTER TABLE detection ADD COLUMN group_key TEXT;
ALTER TABLE detection ADD COLUMN matches BIGINT NOT NULL DEFAULT 1;
ALTER TABLE detection ADD COLUMN last_at TIMESTAMPTZ;
UPDATE detection SET last_at = at;
ALTER TABLE detection ALTER COLUMN last_at SET NOT NULL;
ALTER TABLE detection ALTER COLUMN matches DROP DEFAULT;
ALTER TABLE detection ADD COLUMN evidence TEXT NOT NULL DEFAULT '[]';
ALTER TABLE detection ALTER COLUMN evidence DROP DEFAULT;
CREATE INDEX detection_by_group ON detection (watch, group_key, at);

-- Matches, as long as they may bear on others.
CREATE TABLE rule_hit (
    watch TEXT NOT NULL,
    group_key TEXT NOT NULL,
    slot TEXT NOT NULL,
    part BIGINT NOT NULL,
    value TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    kept_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (watch, group_key, slot, part, value)
);
CREATE INDEX rule_hit_by_time ON rule_hit (watch, at_us);
CREATE INDEX rule_hit_by_batch ON rule_hit (batch_id);

-- How far the time of each source has come, and how many records came too late for correlations.
CREATE TABLE watermark (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    late BIGINT NOT NULL,
    PRIMARY KEY (connection_id, dataset)
);

-- Matches of rules in test mode: counted, and nothing else.
CREATE TABLE test_match (
    rule_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    who TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (rule_id, event_id)
);

CREATE TABLE rule_mode (
    rule_id TEXT PRIMARY KEY,
    mode TEXT NOT NULL,
    set_at TIMESTAMPTZ NOT NULL,
    set_by TEXT NOT NULL
);

-- Every version of each document; the last one counts, and none without a text.
CREATE TABLE rule_document (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    text TEXT,
    written_at TIMESTAMPTZ NOT NULL,
    written_by TEXT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE rule_parameter (
    name TEXT PRIMARY KEY,
    list TEXT NOT NULL,
    set_at TIMESTAMPTZ NOT NULL,
    set_by TEXT NOT NULL
);
