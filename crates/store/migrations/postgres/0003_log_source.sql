-- Where log records come from: jobs that push, logs that are pulled, buckets that are read; and which objects of a
-- bucket have been read.
-- The file of the same name for the other engine differs in types alone.

CREATE TABLE log_source (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    source TEXT NOT NULL,
    -- Whether someone wants it to run.
    wanted BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    problem TEXT,
    -- Where it comes from or goes to, without secrets: the address pushed to, or the bucket.
    place TEXT,
    endpoint TEXT,
    keys_sealed BYTEA,
    job_id BIGINT,
    -- Up to which time a pulled log has been read to its end.
    cursor_at TIMESTAMPTZ,
    last_complete_at TIMESTAMPTZ,
    last_error_at TIMESTAMPTZ,
    error_message TEXT,
    missing_fields TEXT NOT NULL DEFAULT '[]',
    warnings TEXT NOT NULL DEFAULT '[]',
    checked_at TIMESTAMPTZ,
    fields_checked_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, dataset, source)
);

CREATE TABLE object_read (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    location TEXT NOT NULL,
    etag TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    batch_id TEXT,
    problem TEXT,
    attempts BIGINT NOT NULL,
    read_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, dataset, location)
);

-- When the newest batch of each dataset came.
CREATE INDEX batch_by_dataset ON batch (connection_id, dataset, source, received_at);
CREATE INDEX batch_by_age ON batch (dataset, received_at);

-- Requests to remove what the logs hold of one person. One that was not finished goes on after `position`.
CREATE TABLE purge (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    position TEXT NOT NULL,
    batches BIGINT NOT NULL,
    objects BIGINT NOT NULL,
    records BIGINT NOT NULL,
    events BIGINT NOT NULL
);
CREATE INDEX purge_by_person ON purge (person_id, started_at);
