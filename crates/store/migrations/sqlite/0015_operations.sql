-- Operations that take long: a stage works on them, whoever asked can follow and cancel them.
CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    request TEXT NOT NULL,
    actor TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    finished_at TEXT,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    outcome TEXT,
    result TEXT,
    problem TEXT,
    cancelled_by TEXT
) STRICT;
-- The same request is one operation until it has ended or was cancelled.
CREATE UNIQUE INDEX operation_open ON operation (kind, target) WHERE finished_at IS NULL AND cancelled_by IS NULL;
CREATE INDEX operation_waiting ON operation (kind, asked_at, id) WHERE finished_at IS NULL;
CREATE INDEX operation_by_time ON operation (asked_at, id);

-- Which replay alone sent a batch through detection again.
ALTER TABLE batch ADD COLUMN replay_id TEXT;
CREATE INDEX batch_by_replay ON batch (replay_id) WHERE replay_id IS NOT NULL;

ALTER TABLE sync_run ADD COLUMN cancelled_by TEXT;
ALTER TABLE purge ADD COLUMN cancelled_by TEXT;
