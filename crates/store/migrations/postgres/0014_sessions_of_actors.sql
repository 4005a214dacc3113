-- A session belongs to an actor. One that was opened with a token has the token's permissions; any other has its own.
ALTER TABLE session ADD COLUMN actor TEXT;
UPDATE session SET actor = 'token ' || access_token.name
FROM access_token WHERE access_token.id = session.access_token_id;
ALTER TABLE session ALTER COLUMN actor SET NOT NULL;
ALTER TABLE session ALTER COLUMN access_token_id DROP NOT NULL;
ALTER TABLE session ADD COLUMN permissions TEXT;
