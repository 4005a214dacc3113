//! Temporary stores for tests: SQLite always, and PostgreSQL if `FLAREWARD_TEST_POSTGRES` names a server
//! (`postgres://user@host:port`). Each has its own database.

use crate::engine::on_engine;
use crate::{Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty store that nothing else uses.
pub struct Scratch {
    /// The store.
    pub store: Store,
    /// Its address, to be opened a second time, as another process would.
    pub address: String,
    _folder: Option<tempfile::TempDir>,
}

impl Store {
    /// Lets all leases and claims run out, as the time after a kill does.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn leases_run_out(&self) -> Result<(), StoreError> {
        on_engine!(self, pool => {
            sqlx::query("DELETE FROM lease").execute(pool).await?;
            sqlx::query("UPDATE batch SET claimed_until_ms = 0").execute(pool).await?;
        });
        Ok(())
    }
}

/// A database without tables that nothing else uses.
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
    /// Makes the store one of before it was written down which key seals its secrets.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn sealing_key_forget(&self) -> Result<(), StoreError> {
        crate::engine::on_engine!(self.store, pool => {
            sqlx::query("DELETE FROM sealing_key").execute(pool).await?;
        });
        Ok(())
    }
}

/// One empty store for each engine that is at hand.
///
/// # Errors
///
/// When a store cannot be made.
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
/// When it cannot be made.
pub async fn sqlite() -> Result<Scratch, StoreError> {
    sqlite_place()?.open().await
}

/// One database without tables for each engine that is at hand.
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
