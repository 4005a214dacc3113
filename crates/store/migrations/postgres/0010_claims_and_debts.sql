-- Leases end by the database's clock, in milliseconds since 1970: no process brings a clock of its own.
DROP TABLE lease;
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);

-- Who works on a batch, and until when. `again` counts how often something asked for its events to be looked at anew:
-- whoever ends the work on a batch ends only what was asked for when it began.
ALTER TABLE batch ADD COLUMN claimed_by TEXT;
ALTER TABLE batch ADD COLUMN claimed_until_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN again BIGINT NOT NULL DEFAULT 0;

-- Groups whose matches changed, from which time on, and whose detections are not made anew yet. `stamp` is another
-- with each change.
CREATE TABLE group_debt (
    watch TEXT NOT NULL,
    group_key TEXT NOT NULL,
    from_us BIGINT NOT NULL,
    stamp TEXT NOT NULL,
    owed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (watch, group_key)
);

-- What a grant for a time gave: the request that takes exactly that back. Grants of before are taken back by their
-- kind. `change_id` is the change that makes the grant, as long as it is not known to be made.
ALTER TABLE timed_grant ADD COLUMN take_back TEXT;
ALTER TABLE timed_grant ADD COLUMN change_id TEXT;

-- Since when a process has been sending a message. One that is still there when the message is due again was left by a
-- process that ended early: the message may have been sent.
ALTER TABLE message ADD COLUMN sending_since TIMESTAMPTZ;

-- Nobody asks any more which transaction wrote an entry of the journal.
ALTER TABLE journal DROP COLUMN transaction_id;

-- A reader of the journal goes on from the highest number that it saw. So numbers must become visible in their
-- order: whoever writes to the journal waits for the one who wrote before.
CREATE FUNCTION journal_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('flareward journal'));
    RETURN NULL;
END
$$;
CREATE TRIGGER journal_in_order BEFORE INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION journal_in_order();
