-- A token may end by itself: one that was given to a script or a visitor and was never taken back should not work
-- for ever. NULL is a token without an end, which every token was until now.
ALTER TABLE access_token ADD COLUMN expires_at TEXT;
