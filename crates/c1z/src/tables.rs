//! The tables of the database, in SQL.
//!
//! Names and columns are Baton's; the crate's documentation explains the choice of columns.

/// A table with one kind of object of every sync.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Creates the table with the index that keeps its ids unique within a sync.
    pub(crate) create: &'static str,
    /// Creates the other indexes. They are created after the rows, which is faster and leaves no gaps.
    pub(crate) index: &'static [&'static str],
    /// All columns except the row number, in the order of `insert`.
    pub(crate) columns: &'static [&'static str],
    /// The start of an insert; the rows follow, then [`REPLACE`].
    pub(crate) insert: &'static str,
    /// Copies the rows of one sync from the database attached as `before`.
    pub(crate) keep: &'static str,
    pub(crate) count: &'static str,
    pub(crate) remove: &'static str,
}

/// If a sync contains an id twice, the later object wins, as in Baton's own writers.
pub(crate) const REPLACE: &str = " ON CONFLICT (external_id, sync_id) DO UPDATE SET data = excluded.data";

pub(crate) const RESOURCE_TYPES: Table = Table {
    name: "v1_resource_types",
    create: "
        CREATE TABLE v1_resource_types (
            id integer primary key, external_id text not null, data blob not null, sync_id text not null,
            discovered_at datetime not null);
        CREATE UNIQUE INDEX idx_resource_types_external_sync_v1 ON v1_resource_types (external_id, sync_id)",
    index: &[],
    columns: &["external_id", "data", "sync_id", "discovered_at"],
    insert: "INSERT INTO v1_resource_types (external_id, data, sync_id, discovered_at) ",
    keep: "
        INSERT INTO v1_resource_types (external_id, data, sync_id, discovered_at)
        SELECT external_id, data, sync_id, discovered_at FROM before.v1_resource_types
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_resource_types WHERE sync_id = $1",
    remove: "DELETE FROM v1_resource_types WHERE sync_id = $1",
};

pub(crate) const RESOURCES: Table = Table {
    name: "v1_resources",
    create: "
        CREATE TABLE v1_resources (
            id integer primary key, resource_type_id text not null, external_id text not null,
            parent_resource_type_id text, parent_resource_id text, data blob not null, sync_id text not null,
            discovered_at datetime not null);
        CREATE UNIQUE INDEX idx_resources_parent_resource_id_v1 ON v1_resources (external_id, sync_id)",
    index: &[
        "CREATE INDEX idx_resources_resource_type_id_v1 ON v1_resources (resource_type_id)",
        "CREATE INDEX idx_resources_external_sync_v1
         ON v1_resources (parent_resource_type_id, parent_resource_id)",
    ],
    columns: &[
        "resource_type_id",
        "external_id",
        "parent_resource_type_id",
        "parent_resource_id",
        "data",
        "sync_id",
        "discovered_at",
    ],
    insert: "
        INSERT INTO v1_resources (resource_type_id, external_id, parent_resource_type_id, parent_resource_id, data,
            sync_id, discovered_at) ",
    keep: "
        INSERT INTO v1_resources (resource_type_id, external_id, parent_resource_type_id, parent_resource_id, data,
            sync_id, discovered_at)
        SELECT resource_type_id, external_id, parent_resource_type_id, parent_resource_id, data, sync_id,
            discovered_at FROM before.v1_resources
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_resources WHERE sync_id = $1",
    remove: "DELETE FROM v1_resources WHERE sync_id = $1",
};

pub(crate) const ENTITLEMENTS: Table = Table {
    name: "v1_entitlements",
    create: "
        CREATE TABLE v1_entitlements (
            id integer primary key, resource_type_id text not null, resource_id text not null,
            external_id text not null, data blob not null, sync_id text not null, discovered_at datetime not null);
        CREATE UNIQUE INDEX idx_entitlements_external_sync_v1 ON v1_entitlements (external_id, sync_id)",
    index: &[
        "CREATE INDEX idx_entitlements_resource_id_v1 ON v1_entitlements (resource_type_id, resource_id)",
    ],
    columns: &[
        "resource_type_id",
        "resource_id",
        "external_id",
        "data",
        "sync_id",
        "discovered_at",
    ],
    insert: "
        INSERT INTO v1_entitlements (resource_type_id, resource_id, external_id, data, sync_id, discovered_at) ",
    keep: "
        INSERT INTO v1_entitlements (resource_type_id, resource_id, external_id, data, sync_id, discovered_at)
        SELECT resource_type_id, resource_id, external_id, data, sync_id, discovered_at
        FROM before.v1_entitlements
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_entitlements WHERE sync_id = $1",
    remove: "DELETE FROM v1_entitlements WHERE sync_id = $1",
};

pub(crate) const GRANTS: Table = Table {
    name: "v1_grants",
    create: "
        CREATE TABLE v1_grants (
            id integer primary key, resource_type_id text not null, resource_id text not null,
            entitlement_id text not null, principal_resource_type_id text not null,
            principal_resource_id text not null, external_id text not null, data blob not null,
            sync_id text not null, discovered_at datetime not null);
        CREATE UNIQUE INDEX idx_grants_external_sync_v1 ON v1_grants (external_id, sync_id)",
    // SDK 0.1 gives the first of these a name that `v1_resource_types` has already, so its own files lack it.
    index: &[
        "CREATE INDEX idx_grants_resource_type_id_resource_id_v1 ON v1_grants (resource_type_id, resource_id)",
        "CREATE INDEX idx_grants_principal_id_v1
         ON v1_grants (principal_resource_type_id, principal_resource_id)",
        "CREATE INDEX idx_grants_entitlement_id_principal_id_v1
         ON v1_grants (entitlement_id, principal_resource_type_id, principal_resource_id)",
    ],
    columns: &[
        "resource_type_id",
        "resource_id",
        "entitlement_id",
        "principal_resource_type_id",
        "principal_resource_id",
        "external_id",
        "data",
        "sync_id",
        "discovered_at",
    ],
    insert: "
        INSERT INTO v1_grants (resource_type_id, resource_id, entitlement_id, principal_resource_type_id,
            principal_resource_id, external_id, data, sync_id, discovered_at) ",
    keep: "
        INSERT INTO v1_grants (resource_type_id, resource_id, entitlement_id, principal_resource_type_id,
            principal_resource_id, external_id, data, sync_id, discovered_at)
        SELECT resource_type_id, resource_id, entitlement_id, principal_resource_type_id, principal_resource_id,
            external_id, data, sync_id, discovered_at FROM before.v1_grants
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_grants WHERE sync_id = $1",
    remove: "DELETE FROM v1_grants WHERE sync_id = $1",
};

/// Icons and similar. This crate does not write them, but readers expect the table, and a kept sync may have some.
pub(crate) const ASSETS: Table = Table {
    name: "v1_assets",
    create: "
        CREATE TABLE v1_assets (
            id integer primary key, external_id text not null, content_type text not null, data blob not null,
            sync_id text not null, discovered_at datetime not null);
        CREATE UNIQUE INDEX idx_assets_external_sync_v1 ON v1_assets (external_id, sync_id)",
    index: &[],
    columns: &["external_id", "content_type", "data", "sync_id", "discovered_at"],
    insert: "INSERT INTO v1_assets (external_id, content_type, data, sync_id, discovered_at) ",
    keep: "
        INSERT INTO v1_assets (external_id, content_type, data, sync_id, discovered_at)
        SELECT external_id, content_type, data, sync_id, discovered_at FROM before.v1_assets
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_assets WHERE sync_id = $1",
    remove: "DELETE FROM v1_assets WHERE sync_id = $1",
};

pub(crate) const SYNC_RUNS: Table = Table {
    name: "v1_sync_runs",
    create: "
        CREATE TABLE v1_sync_runs (
            id integer primary key, sync_id text not null, started_at datetime not null, ended_at datetime,
            sync_token text not null);
        CREATE UNIQUE INDEX idx_sync_runs_sync_id_v1 ON v1_sync_runs (sync_id)",
    index: &[],
    columns: &["sync_id", "started_at", "ended_at", "sync_token"],
    insert: "INSERT INTO v1_sync_runs (sync_id, started_at, ended_at, sync_token) ",
    keep: "
        INSERT INTO v1_sync_runs (sync_id, started_at, ended_at, sync_token)
        SELECT sync_id, started_at, ended_at, sync_token FROM before.v1_sync_runs
        WHERE sync_id = $1 ORDER BY id",
    count: "SELECT count(*) FROM v1_sync_runs WHERE sync_id = $1",
    remove: "DELETE FROM v1_sync_runs WHERE sync_id = $1",
};

pub(crate) const ALL: [&Table; 6] = [
    &RESOURCE_TYPES,
    &RESOURCES,
    &ENTITLEMENTS,
    &GRANTS,
    &ASSETS,
    &SYNC_RUNS,
];
