-- When a session was last used. Sessions of before this was kept have to be opened again.
DELETE FROM session;
ALTER TABLE session ADD COLUMN used_at TIMESTAMPTZ NOT NULL DEFAULT '1970-01-01 00:00:00+00';

-- A token is known by its name in the audit log, so that no two live ones may share it. Of those that do, all but the
-- oldest get a part of their id.
UPDATE access_token SET name = name || ' (' || SUBSTR(id, LENGTH(id) - 7) || ')'
WHERE revoked_at IS NULL AND EXISTS (SELECT 1 FROM access_token older
    WHERE older.name = access_token.name AND older.revoked_at IS NULL AND (older.created_at < access_token.created_at
        OR (older.created_at = access_token.created_at AND older.id < access_token.id)));
CREATE UNIQUE INDEX access_token_live_name ON access_token (name) WHERE revoked_at IS NULL;
