-- The whole path: connections, people and grants, log batches and events, detections, risk, signals,
-- coaching, and the journal and audit log that record what happened.
-- The file of the same name for the other engine differs in types alone.

CREATE TABLE connection (
    id TEXT PRIMARY KEY,
    label TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    account_name TEXT NOT NULL,
    base_url TEXT NOT NULL,
    credential_kind TEXT NOT NULL,
    credential_email TEXT,
    credential_sealed BLOB NOT NULL,
    credential_fingerprint TEXT NOT NULL,
    ingest_secret_sealed BLOB NOT NULL,
    ingest_secret_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    synced_at TEXT
) STRICT;

CREATE TABLE probe (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    feature TEXT NOT NULL,
    works INTEGER NOT NULL,
    missing_permission TEXT,
    message TEXT NOT NULL,
    checked_at TEXT NOT NULL,
    PRIMARY KEY (connection_id, feature)
) STRICT;

-- Which listings of a connection are whole: a listing that failed keeps its old rows and says so here.
CREATE TABLE listing (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    complete_at TEXT,
    stale_reason TEXT,
    PRIMARY KEY (connection_id, kind)
) STRICT;

CREATE TABLE sync_run (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT NOT NULL,
    problem TEXT,
    requests INTEGER NOT NULL,
    counts TEXT NOT NULL
) STRICT;
CREATE INDEX sync_run_by_connection ON sync_run (connection_id, started_at);

CREATE TABLE person (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT,
    risk_level TEXT NOT NULL,
    risk_since TEXT,
    risk_reset_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX person_by_risk ON person (risk_level);

CREATE TABLE member (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    email TEXT NOT NULL,
    name TEXT,
    status TEXT NOT NULL,
    two_factor INTEGER,
    roles TEXT NOT NULL,
    raw TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (connection_id, id)
) STRICT;
CREATE INDEX member_by_person ON member (person_id);

CREATE TABLE role (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    raw TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (connection_id, id)
) STRICT;

CREATE TABLE access_user (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    email TEXT NOT NULL,
    name TEXT,
    access_seat INTEGER,
    gateway_seat INTEGER,
    active_device_count INTEGER,
    last_login_at TEXT,
    raw TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (connection_id, id)
) STRICT;
CREATE INDEX access_user_by_person ON access_user (person_id);

CREATE TABLE access_group (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    raw TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    gone_at TEXT,
    PRIMARY KEY (connection_id, id)
) STRICT;

CREATE TABLE entitlement_grant (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    entitlement_id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    entitlement_name TEXT NOT NULL,
    certainty TEXT NOT NULL,
    via TEXT NOT NULL,
    computed_at TEXT NOT NULL,
    PRIMARY KEY (connection_id, kind, entitlement_id, person_id)
) STRICT;
CREATE INDEX entitlement_grant_by_person ON entitlement_grant (person_id);

CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    received_at TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    state TEXT NOT NULL,
    problem TEXT,
    records INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    rejected INTEGER NOT NULL
) STRICT;
CREATE INDEX batch_by_state ON batch (state, received_at);
CREATE INDEX batch_by_connection ON batch (connection_id, received_at);

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    at TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    identifier TEXT,
    action TEXT,
    target TEXT,
    source_ip TEXT,
    country TEXT,
    batch_id TEXT NOT NULL,
    raw TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_time ON event (at, id);
CREATE INDEX event_by_person ON event (person_id, at, id);
CREATE INDEX event_by_batch ON event (batch_id);
CREATE INDEX event_unmapped ON event (identifier) WHERE person_id IS NULL;
CREATE INDEX event_by_dataset ON event (dataset, at, id);

CREATE TABLE reject (
    batch_id TEXT NOT NULL,
    line INTEGER NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    reason TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    rejected_at TEXT NOT NULL,
    PRIMARY KEY (batch_id, line)
) STRICT;
CREATE INDEX reject_by_time ON reject (rejected_at, batch_id, line);

CREATE TABLE unmapped_identifier (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    dataset TEXT NOT NULL,
    events INTEGER NOT NULL,
    first_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    PRIMARY KEY (connection_id, identifier, dataset)
) STRICT;

CREATE TABLE detection (
    id TEXT PRIMARY KEY,
    rule_id TEXT NOT NULL,
    rule_name TEXT NOT NULL,
    title TEXT NOT NULL,
    level TEXT NOT NULL,
    behaviour TEXT,
    topic TEXT,
    event_id TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    identifier TEXT,
    at TEXT NOT NULL,
    detected_at TEXT NOT NULL,
    detail TEXT,
    UNIQUE (rule_id, event_id)
) STRICT;
CREATE INDEX detection_by_time ON detection (at, id);
CREATE INDEX detection_by_person ON detection (person_id, at, id);
CREATE INDEX detection_by_rule ON detection (rule_name, at);

CREATE TABLE risk_change (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id),
    previous TEXT NOT NULL,
    current TEXT NOT NULL,
    initiator TEXT NOT NULL,
    reason TEXT NOT NULL,
    behaviour TEXT,
    detection_id TEXT,
    at TEXT NOT NULL,
    happened_at TEXT NOT NULL
) STRICT;
CREATE INDEX risk_change_by_person ON risk_change (person_id, at);
CREATE INDEX risk_change_by_time ON risk_change (happened_at);

CREATE TABLE integration (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    integration_type TEXT NOT NULL,
    tenant_url TEXT NOT NULL,
    reference_id TEXT,
    active INTEGER NOT NULL,
    suspended_reason TEXT,
    created_at TEXT NOT NULL,
    deleted_at TEXT
) STRICT;

CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    key_sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at TEXT NOT NULL,
    retired_at TEXT
) STRICT;

CREATE TABLE signal (
    id TEXT PRIMARY KEY,
    integration_id TEXT NOT NULL REFERENCES integration (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES person (id),
    risk_change_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    previous TEXT NOT NULL,
    current TEXT NOT NULL,
    claims TEXT NOT NULL,
    token TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at TEXT NOT NULL,
    last_status INTEGER,
    problem TEXT,
    created_at TEXT NOT NULL,
    position INTEGER NOT NULL,
    delivered_at TEXT,
    UNIQUE (integration_id, risk_change_id)
) STRICT;
CREATE INDEX signal_due ON signal (state, next_attempt_at);
CREATE INDEX signal_by_person ON signal (integration_id, person_id, position);

CREATE TABLE campaign (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    rules TEXT NOT NULL,
    channel TEXT NOT NULL,
    destination_sealed BLOB NOT NULL,
    destination_hint TEXT NOT NULL,
    delivery_limit_minutes INTEGER NOT NULL,
    test_mode INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE message (
    id TEXT PRIMARY KEY,
    campaign_id TEXT NOT NULL REFERENCES campaign (id) ON DELETE CASCADE,
    detection_id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    topic TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    attempts INTEGER NOT NULL,
    next_attempt_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    delivered_at TEXT,
    UNIQUE (campaign_id, detection_id)
) STRICT;
CREATE INDEX message_due ON message (state, next_attempt_at);
CREATE INDEX message_by_person ON message (person_id, created_at);

CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    person_id TEXT,
    connection_id TEXT,
    subject_id TEXT,
    summary TEXT NOT NULL,
    data TEXT NOT NULL,
    transaction_id INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE consumer (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at TEXT,
    revoked_at TEXT
) STRICT;

CREATE TABLE session (
    id_hash TEXT PRIMARY KEY,
    access_token_id TEXT NOT NULL REFERENCES access_token (id) ON DELETE CASCADE,
    csrf TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until TEXT NOT NULL
) STRICT;
