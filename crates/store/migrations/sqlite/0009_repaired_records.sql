-- Records of a batch of which something was not as it should be (half a surrogate pair, a number out of range) and
-- that became events all the same.
ALTER TABLE batch ADD COLUMN repaired INTEGER NOT NULL DEFAULT 0;
