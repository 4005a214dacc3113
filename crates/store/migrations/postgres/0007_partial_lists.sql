-- A list of which Cloudflare gave only a part is not the same as an old one: what it lacks may be there all the same.

ALTER TABLE listing ADD COLUMN is_partial BOOLEAN NOT NULL DEFAULT FALSE;

-- Why an Access user could not be read about the last time: one who always fails must not hold up the others.
ALTER TABLE access_user_detail ADD COLUMN problem TEXT;
