-- A body of a million bad lines made a million rows. Rejected lines are counted by batch and reason, with some samples.

ALTER TABLE reject RENAME TO reject_line;
CREATE TABLE reject (
    batch_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    count INTEGER NOT NULL,
    -- 0 where it is about the whole batch.
    first_line INTEGER NOT NULL,
    rejected_at TEXT NOT NULL,
    PRIMARY KEY (batch_id, reason)
) STRICT;
CREATE TABLE reject_sample (
    batch_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    line INTEGER NOT NULL,
    detail TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    PRIMARY KEY (batch_id, reason, line),
    FOREIGN KEY (batch_id, reason) REFERENCES reject (batch_id, reason) ON DELETE CASCADE
) STRICT;

-- What stands behind the first colon of an old reason differs from line to line.
INSERT INTO reject
    SELECT batch_id,
        CASE WHEN INSTR(reason, ': ') > 0 THEN SUBSTR(reason, 1, INSTR(reason, ': ') - 1) ELSE reason END,
        MIN(connection_id), MIN(dataset), COUNT(*), MIN(line), MAX(rejected_at)
    FROM reject_line GROUP BY 1, 2;
INSERT INTO reject_sample
    SELECT batch_id, kind, line, detail, excerpt FROM (
        SELECT batch_id, kind, line, detail, excerpt,
            ROW_NUMBER() OVER (PARTITION BY batch_id, kind ORDER BY line) AS place
        FROM (SELECT batch_id, line, excerpt,
                CASE WHEN INSTR(reason, ': ') > 0 THEN SUBSTR(reason, 1, INSTR(reason, ': ') - 1) ELSE reason END AS kind,
                CASE WHEN INSTR(reason, ': ') > 0 THEN SUBSTR(reason, INSTR(reason, ': ') + 2) ELSE '' END AS detail
            FROM reject_line) AS split) AS numbered
    WHERE place <= 5;
DROP TABLE reject_line;
CREATE INDEX reject_by_time ON reject (rejected_at, batch_id, first_line, reason);

-- Which key the secrets in this database are sealed with, so that another one, or a new one, is known at once.
CREATE TABLE sealing_key (
    -- There is one.
    place INTEGER PRIMARY KEY CHECK (place = 1),
    fingerprint TEXT NOT NULL,
    first_used_at TEXT NOT NULL
) STRICT;
