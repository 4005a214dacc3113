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
    credential_sealed BYTEA NOT NULL,
    credential_fingerprint TEXT NOT NULL,
    ingest_secret_sealed BYTEA NOT NULL,
    ingest_secret_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    synced_at TIMESTAMPTZ
);

CREATE TABLE probe (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    feature TEXT NOT NULL,
    works BOOLEAN NOT NULL,
    missing_permission TEXT,
    message TEXT NOT NULL,
    checked_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, feature)
);

-- Which listings of a connection are whole: a listing that failed keeps its old rows and says so here.
CREATE TABLE listing (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    complete_at TIMESTAMPTZ,
    stale_reason TEXT,
    PRIMARY KEY (connection_id, kind)
);

CREATE TABLE sync_run (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    outcome TEXT NOT NULL,
    problem TEXT,
    requests BIGINT NOT NULL,
    counts TEXT NOT NULL
);
CREATE INDEX sync_run_by_connection ON sync_run (connection_id, started_at);

CREATE TABLE person (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT,
    risk_level TEXT NOT NULL,
    risk_since TIMESTAMPTZ,
    risk_reset_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX person_by_risk ON person (risk_level);

CREATE TABLE member (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    email TEXT NOT NULL,
    name TEXT,
    status TEXT NOT NULL,
    two_factor BOOLEAN,
    roles TEXT NOT NULL,
    raw TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, id)
);
CREATE INDEX member_by_person ON member (person_id);

CREATE TABLE role (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    raw TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, id)
);

CREATE TABLE access_user (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    person_id TEXT REFERENCES person (id),
    email TEXT NOT NULL,
    name TEXT,
    access_seat BOOLEAN,
    gateway_seat BOOLEAN,
    active_device_count BIGINT,
    last_login_at TIMESTAMPTZ,
    raw TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, id)
);
CREATE INDEX access_user_by_person ON access_user (person_id);

CREATE TABLE access_group (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    raw TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    PRIMARY KEY (connection_id, id)
);

CREATE TABLE entitlement_grant (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    entitlement_id TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES person (id),
    entitlement_name TEXT NOT NULL,
    certainty TEXT NOT NULL,
    via TEXT NOT NULL,
    computed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, kind, entitlement_id, person_id)
);
CREATE INDEX entitlement_grant_by_person ON entitlement_grant (person_id);

CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    deliveries BIGINT NOT NULL,
    state TEXT NOT NULL,
    problem TEXT,
    records BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    rejected BIGINT NOT NULL
);
CREATE INDEX batch_by_state ON batch (state, received_at);
CREATE INDEX batch_by_connection ON batch (connection_id, received_at);

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    person_id TEXT REFERENCES person (id),
    identifier TEXT,
    action TEXT,
    target TEXT,
    source_ip TEXT,
    country TEXT,
    batch_id TEXT NOT NULL,
    raw TEXT NOT NULL
);
CREATE INDEX event_by_time ON event (at, id);
CREATE INDEX event_by_person ON event (person_id, at, id);
CREATE INDEX event_by_batch ON event (batch_id);
CREATE INDEX event_unmapped ON event (identifier) WHERE person_id IS NULL;
CREATE INDEX event_by_dataset ON event (dataset, at, id);

CREATE TABLE reject (
    batch_id TEXT NOT NULL,
    line BIGINT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    reason TEXT NOT NULL,
    excerpt TEXT NOT NULL,
    rejected_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (batch_id, line)
);
CREATE INDEX reject_by_time ON reject (rejected_at, batch_id, line);

CREATE TABLE unmapped_identifier (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    dataset TEXT NOT NULL,
    events BIGINT NOT NULL,
    first_at TIMESTAMPTZ NOT NULL,
    last_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (connection_id, identifier, dataset)
);

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
    at TIMESTAMPTZ NOT NULL,
    detected_at TIMESTAMPTZ NOT NULL,
    detail TEXT,
    UNIQUE (rule_id, event_id)
);
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
    at TIMESTAMPTZ NOT NULL,
    happened_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX risk_change_by_person ON risk_change (person_id, at);
CREATE INDEX risk_change_by_time ON risk_change (happened_at);

CREATE TABLE integration (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    integration_type TEXT NOT NULL,
    tenant_url TEXT NOT NULL,
    reference_id TEXT,
    active BOOLEAN NOT NULL,
    suspended_reason TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);

CREATE TABLE signing_key (
    kid TEXT PRIMARY KEY,
    key_sealed BYTEA NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    retired_at TIMESTAMPTZ
);

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
    attempts BIGINT NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    last_status BIGINT,
    problem TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    position BIGINT NOT NULL,
    delivered_at TIMESTAMPTZ,
    UNIQUE (integration_id, risk_change_id)
);
CREATE INDEX signal_due ON signal (state, next_attempt_at);
CREATE INDEX signal_by_person ON signal (integration_id, person_id, position);

CREATE TABLE campaign (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    rules TEXT NOT NULL,
    channel TEXT NOT NULL,
    destination_sealed BYTEA NOT NULL,
    destination_hint TEXT NOT NULL,
    delivery_limit_minutes BIGINT NOT NULL,
    test_mode BOOLEAN NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

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
    attempts BIGINT NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    delivered_at TIMESTAMPTZ,
    UNIQUE (campaign_id, detection_id)
);
CREATE INDEX message_due ON message (state, next_attempt_at);
CREATE INDEX message_by_person ON message (person_id, created_at);

CREATE TABLE journal (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    kind TEXT NOT NULL,
    person_id TEXT,
    connection_id TEXT,
    subject_id TEXT,
    summary TEXT NOT NULL,
    data TEXT NOT NULL,
    transaction_id XID8 NOT NULL DEFAULT pg_current_xact_id()
);

CREATE TABLE consumer (
    name TEXT PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);

CREATE TABLE session (
    id_hash TEXT PRIMARY KEY,
    access_token_id TEXT NOT NULL REFERENCES access_token (id) ON DELETE CASCADE,
    csrf TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE audit (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until TIMESTAMPTZ NOT NULL
);
