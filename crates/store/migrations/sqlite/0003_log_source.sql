-- Where log records come from: jobs that push, logs that are pulled, buckets that are read; and which objects of a
-- bucket have been read.
-- The file of the same name for the other engine differs in types alone.

CREATE TABLE log_source (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    source TEXT NOT NULL,
    -- Whether someone wants it to run.
    wanted INTEGER NOT NULL,
    state TEXT NOT NULL,
    problem TEXT,
    -- Where it comes from or goes to, without secrets: the address pushed to, or the bucket.
    place TEXT,
    endpoint TEXT,
    keys_sealed BLOB,
    job_id INTEGER,
    -- Up to which time a pulled log has been read to its end.
    cursor_at TEXT,
    last_complete_at TEXT,
    last_error_at TEXT,
    error_message TEXT,
    missing_fields TEXT NOT NULL DEFAULT '[]',
    warnings TEXT NOT NULL DEFAULT '[]',
    checked_at TEXT,
    fields_checked_at TEXT,
    PRIMARY KEY (connection_id, dataset, source)
) STRICT;

CREATE TABLE object_read (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    location TEXT NOT NULL,
    etag TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    batch_id TEXT,
    problem TEXT,
    attempts INTEGER NOT NULL,
    read_at TEXT NOT NULL,
    PRIMARY KEY (connection_id, dataset, location)
) STRICT;

-- When the newest batch of each dataset came.
CREATE INDEX batch_by_dataset ON batch (connection_id, dataset, source, received_at);
CREATE INDEX batch_by_age ON batch (dataset, received_at);

-- Requests to remove what the logs hold of one person. One that was not finished goes on after `position`.
CREATE TABLE purge (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    position TEXT NOT NULL,
    batches INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    records INTEGER NOT NULL,
    events INTEGER NOT NULL
) STRICT;
CREATE INDEX purge_by_person ON purge (person_id, started_at);
