-- A session belongs to an actor. One that was opened with a token has the token's permissions; any other has its own.
CREATE TABLE session_of_actor (
    id_hash TEXT PRIMARY KEY,
    actor TEXT NOT NULL,
    access_token_id TEXT REFERENCES access_token (id) ON DELETE CASCADE,
    permissions TEXT,
    csrf TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT NOT NULL
) STRICT;
INSERT INTO session_of_actor (id_hash, actor, access_token_id, csrf, created_at, expires_at, used_at)
SELECT session.id_hash, 'token ' || access_token.name, access_token_id, csrf, session.created_at, session.expires_at, used_at
FROM session JOIN access_token ON access_token.id = session.access_token_id;
DROP TABLE session;
ALTER TABLE session_of_actor RENAME TO session;
