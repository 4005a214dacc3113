-- Who has access and why, and changing it: every list of an account, what each sync changed, addresses of one
-- person, changes of access with their plans, grants for a time, and findings.
-- Who holds what is worked out when it is asked for, from the lists: the table of grants goes.
-- The file of the same name for the other engine differs in types alone.

DROP TABLE entitlement_grant;

ALTER TABLE connection ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
-- Whose credential it is, where Cloudflare says so: nobody may cut it off by a change.
ALTER TABLE connection ADD COLUMN credential_owner TEXT;

-- A digest of what matters of a row, without what changes by itself (a last login): two syncs are compared by it.
ALTER TABLE member ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE role ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE access_user ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE access_group ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE member ADD COLUMN policies TEXT NOT NULL DEFAULT '[]';
CREATE INDEX access_group_by_name ON access_group (connection_id, name);
CREATE INDEX role_by_name ON role (connection_id, name);

-- What an account has beside people, roles and groups: applications, policies, identity providers, tokens.
CREATE TABLE account_object (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    raw TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, kind, id)
);
CREATE INDEX account_object_by_name ON account_object (connection_id, kind, name);

-- What only a request for each Access user gives; read when asked for and in the background.
CREATE TABLE access_user_detail (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    access_user_id TEXT NOT NULL,
    identity TEXT,
    sessions TEXT NOT NULL,
    failed_logins TEXT NOT NULL,
    read_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, access_user_id)
);

ALTER TABLE sync_run ADD COLUMN attempts BIGINT NOT NULL DEFAULT 1;
-- Whether the grants before and after this run have been compared.
ALTER TABLE sync_run ADD COLUMN compared BOOLEAN NOT NULL DEFAULT FALSE;

-- The page that a killed sync would have read next.
CREATE TABLE listing_progress (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES sync_run (id) ON DELETE CASCADE,
    next_page BIGINT NOT NULL,
    PRIMARY KEY (connection_id, kind)
);

CREATE TABLE sync_change (
    run_id TEXT NOT NULL REFERENCES sync_run (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    name TEXT NOT NULL,
    change TEXT NOT NULL,
    before TEXT,
    after TEXT,
    at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (run_id, kind, object_id)
);

CREATE TABLE grant_change (
    run_id TEXT NOT NULL REFERENCES sync_run (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    entitlement_id TEXT NOT NULL,
    entitlement_name TEXT NOT NULL,
    email TEXT NOT NULL,
    before TEXT,
    after TEXT,
    PRIMARY KEY (run_id, kind, entitlement_id, email)
);

-- Counts up with every change of the lists, so that what is kept in memory knows when it is old.
CREATE TABLE revision (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE person_alias (
    address TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX person_alias_by_person ON person_alias (person_id);

CREATE TABLE access_change (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    parent_id TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    email TEXT,
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT,
    outcome TEXT NOT NULL,
    reason TEXT,
    detail TEXT NOT NULL,
    undo TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE INDEX access_change_by_time ON access_change (created_at, id);
CREATE INDEX access_change_by_email ON access_change (email, created_at);

CREATE TABLE timed_grant (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    entitlement_id TEXT NOT NULL,
    entitlement_name TEXT NOT NULL,
    email TEXT NOT NULL,
    actor TEXT NOT NULL,
    granted_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    notice_at TIMESTAMPTZ NOT NULL,
    noticed_at TIMESTAMPTZ,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    problem TEXT,
    ended_at TIMESTAMPTZ
);
CREATE INDEX timed_grant_due ON timed_grant (state, expires_at);
CREATE UNIQUE INDEX timed_grant_live ON timed_grant (connection_id, kind, entitlement_id, email)
    WHERE ended_at IS NULL;

-- The latest time that expiry has acted at: a clock that is set back does not make grants last longer.
CREATE TABLE time_mark (
    name TEXT PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL
);

CREATE TABLE finding (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    check_id TEXT NOT NULL,
    severity TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    evidence TEXT NOT NULL,
    state TEXT NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    resolved_at TIMESTAMPTZ,
    mute_reason TEXT,
    muted_by TEXT,
    muted_until TIMESTAMPTZ
);
CREATE INDEX finding_by_state ON finding (state, severity, check_id);
CREATE INDEX finding_by_connection ON finding (connection_id, check_id);

-- What each check came to when it last ran: holds, found something, or could not tell and why.
CREATE TABLE check_result (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    check_id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    unknown_reason TEXT,
    findings BIGINT NOT NULL,
    checked_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, check_id)
);

-- Tokens that hold every permission of the first version, as the administrator's does, hold the new ones too.
UPDATE access_token
SET permissions = '["read","connections:write","access:write","posture:write","coaching:write","risk:write","integrations:write","capabilities:call","api:call:read","admin"]'
WHERE permissions LIKE '%"read"%' AND permissions LIKE '%"connections:write"%'
    AND permissions LIKE '%"coaching:write"%' AND permissions LIKE '%"risk:write"%'
    AND permissions LIKE '%"integrations:write"%' AND permissions LIKE '%"capabilities:call"%'
    AND permissions LIKE '%"api:call:read"%' AND permissions LIKE '%"admin"%';
