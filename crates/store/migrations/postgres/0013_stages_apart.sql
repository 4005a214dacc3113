-- Signals follow from the journal: what was written before has its signals already.
INSERT INTO consumer (name, position) SELECT 'signals', COALESCE(MAX(seq), 0) FROM journal;

-- The detections of a group are asked for from a time on.
DROP INDEX detection_by_group;
CREATE INDEX detection_by_group ON detection (watch, group_key, last_at);

-- Purges are done by a stage, which looks for those that have not ended.
CREATE INDEX purge_unfinished ON purge (started_at) WHERE finished_at IS NULL;

-- Each statement finds what it asks for by an index; see the test of plans.
DROP INDEX event_by_batch;
CREATE INDEX event_by_batch ON event (batch_id, id);
CREATE INDEX access_change_by_parent ON access_change (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX batch_by_time ON batch (received_at, id);
CREATE INDEX message_by_time ON message (created_at, id);
CREATE INDEX signal_by_time ON signal (created_at, id);
CREATE INDEX signal_of_person ON signal (person_id);
CREATE INDEX sync_run_by_time ON sync_run (started_at, id);
CREATE INDEX finding_by_check ON finding (check_id, id);
CREATE INDEX journal_by_person ON journal (person_id, seq) WHERE person_id IS NOT NULL;
CREATE INDEX test_match_by_time ON test_match (at);
DROP INDEX batch_by_state;
CREATE INDEX batch_waiting ON batch (received_at, id) WHERE state IN ('archived', 'stored');

-- Syncs that were asked for: the stage that syncs takes them up, so that none ends with the request that asked.
CREATE TABLE sync_request (
    connection_id TEXT PRIMARY KEY REFERENCES connection (id) ON DELETE CASCADE,
    confirm BOOLEAN NOT NULL,
    actor TEXT NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL
);
