-- Cloudflare tells its risk events for one user at a time: what was read of each is remembered, so that only users
-- of whom there is something new are asked for.

CREATE TABLE risk_score_read (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    -- The user's line in the summary when the events were last read.
    event_count BIGINT,
    last_event TEXT,
    -- A JSON array: the events that were there then.
    event_ids TEXT NOT NULL,
    -- Why they could not be read the last time.
    problem TEXT,
    read_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, user_id)
);

-- Why a purge that nobody waits for could not go on.
ALTER TABLE purge ADD COLUMN problem TEXT;
