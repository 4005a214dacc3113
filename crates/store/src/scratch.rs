//! Temporary stores for tests: SQLite always, and PostgreSQL if `FLAREWARD_TEST_POSTGRES` names a server
//! (`postgres://user@host:port`). Each has its own database.

use crate::engine::on_engine;
use crate::{Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty store for one test.
pub struct Scratch {
    /// The store.
    pub store: Store,
    /// Its address, so that a test can open it a second time, as another process would.
    pub address: String,
    _folder: Option<tempfile::TempDir>,
}

impl Store {
    /// Lets all leases and claims expire, as if enough time had passed after a kill.
    ///
    /// # Errors
    ///
    /// If the database returns an error.
    pub async fn leases_run_out(&self) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query("DELETE FROM lease").execute(pool).await?;
            sqlx::query("UPDATE batch SET claimed_until_ms = 0").execute(pool).await?;
        });
        Ok(())
    }
}

/// An empty database, without tables, for one test.
pub(crate) struct Place {
    pub(crate) address: String,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    async fn open(self) -> Result<Scratch, StoreError> {
        Ok(Scratch {
            store: Store::connect(&self.address).await?,
            address: self.address,
            _folder: self.folder,
        })
    }
}

impl Scratch {
    /// Puts records back into rows, as versions did that had no archive of records.
    ///
    /// # Errors
    ///
    /// If the database returns an error.
    pub async fn events_as_before(&self, rows: &[crate::EvidenceRow]) -> Result<(), StoreError> {
        on_engine!(self.store, pool => {
            let time = if self.store.engine_name() == "SQLite" { "TEXT" } else { "TIMESTAMPTZ" };
            let create = format!(
                "CREATE TABLE event_before (id TEXT PRIMARY KEY, connection_id TEXT NOT NULL, dataset TEXT NOT NULL,
                    at {time} NOT NULL, person_id TEXT, identifier TEXT, action TEXT, target TEXT, source_ip TEXT,
                    country TEXT, batch_id TEXT NOT NULL, raw TEXT NOT NULL)"
            );
            sqlx::query(AssertSqlSafe(create)).execute(pool).await?;
            for row in rows {
                sqlx::query("INSERT INTO event_before (id, connection_id, dataset, at, identifier, batch_id, raw)
                        VALUES ($1, $2, $3, $4, $5, $6, $7)")
                    .bind(&row.id.0).bind(&row.connection_id.0).bind(&row.dataset).bind(row.at)
                    .bind(&row.identifier).bind(&row.batch_id).bind(&row.raw).execute(pool).await?;
            }
        });
        Ok(())
    }

    /// Makes the store look like one from before the fingerprint of its key was stored.
    ///
    /// # Errors
    ///
    /// If the database returns an error.
    pub async fn sealing_key_forget(&self) -> Result<(), StoreError> {
        crate::engine::on_engine!(self.store, pool => {
            sqlx::query("DELETE FROM sealing_key").execute(pool).await?;
        });
        Ok(())
    }
}

/// One empty store for each available engine.
///
/// # Errors
///
/// If a store cannot be created.
pub async fn stores() -> Result<Vec<Scratch>, StoreError> {
    let mut made = Vec::new();
    for place in places().await? {
        made.push(place.open().await?);
    }
    Ok(made)
}

/// An empty store on SQLite.
///
/// # Errors
///
/// If it cannot be created.
pub async fn sqlite() -> Result<Scratch, StoreError> {
    sqlite_place()?.open().await
}

/// One database without tables for each available engine.
pub(crate) async fn places() -> Result<Vec<Place>, StoreError> {
    let mut made = vec![sqlite_place()?];
    match std::env::var("FLAREWARD_TEST_POSTGRES") {
        Ok(server) if !server.is_empty() => made.push(postgres_place(&server).await?),
        _ => skipped(),
    }
    Ok(made)
}

#[expect(clippy::print_stderr, reason = "a test that leaves something out must say so")]
fn skipped() {
    eprintln!("skipped on PostgreSQL: FLAREWARD_TEST_POSTGRES names no server");
}

fn sqlite_place() -> Result<Place, StoreError> {
    let folder = tempfile::tempdir().map_err(sqlx::Error::Io)?;
    Ok(Place {
        address: format!("sqlite://{}/store.db", folder.path().display()),
        folder: Some(folder),
    })
}

async fn postgres_place(server: &str) -> Result<Place, StoreError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "scratch_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let mut admin = PgConnection::connect(&format!("{server}/postgres")).await?;
    // The name is made of two numbers.
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut admin)
        .await?;
    admin.close().await?;
    Ok(Place {
        address: format!("{server}/{name}"),
        folder: None,
    })
}
