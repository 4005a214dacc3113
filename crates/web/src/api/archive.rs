//! The archive: its records, parts and bytes.

use crate::error::{ApiError, Problems};
use crate::extract::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use hub::App;
use serde::Serialize;
use store::{PartRow, PartTotal, StoreError};
use utoipa::ToSchema;

/// The content of the archive.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArchiveBody {
    /// The datasets that have records.
    pub datasets: Vec<ArchiveDatasetBody>,
    /// Parts that are missing or damaged, at most 1,000. Their records are missing from lists and searches.
    pub damaged: Vec<DamagedPartBody>,
}

/// The records of one dataset.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArchiveDatasetBody {
    /// Dataset.
    pub dataset: String,
    /// Number of records. A record that was received twice can count twice until its parts are merged.
    pub records: i64,
    /// Number of parts.
    pub parts: i64,
    /// Size of the parts in bytes.
    pub bytes: i64,
    /// Size in bytes divided by the number of records.
    pub bytes_per_record: i64,
    /// Time of the earliest record.
    pub first_at: DateTime<Utc>,
    /// Time of the latest record.
    pub last_at: DateTime<Utc>,
    /// Number of parts that are missing or damaged.
    pub damaged_parts: i64,
}

/// A part that is missing or damaged.
#[derive(Debug, Serialize, ToSchema)]
pub struct DamagedPartBody {
    /// Path of the object in the archive.
    pub path: String,
    /// Dataset.
    pub dataset: String,
    /// Number of records.
    pub records: i64,
    /// The problem.
    pub problem: String,
    /// When it was found.
    pub found_at: DateTime<Utc>,
}

impl ArchiveBody {
    /// Reads the body.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn read(app: &App) -> Result<Self, StoreError> {
        let datasets = app.store.part_totals().await?;
        let damaged = app.store.part_problems().await?;
        Ok(Self {
            datasets: datasets.into_iter().map(dataset).collect(),
            damaged: damaged.into_iter().map(part).collect(),
        })
    }
}

fn time(at_us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at_us).unwrap_or_default()
}

fn dataset(total: PartTotal) -> ArchiveDatasetBody {
    ArchiveDatasetBody {
        dataset: total.dataset,
        records: total.records,
        parts: total.parts,
        bytes: total.bytes,
        bytes_per_record: total.bytes / total.records.max(1),
        first_at: time(total.first_us),
        last_at: time(total.last_us),
        damaged_parts: total.problems,
    }
}

fn part(row: PartRow) -> DamagedPartBody {
    DamagedPartBody {
        path: row.path,
        dataset: row.dataset,
        records: row.records,
        problem: row.problem.unwrap_or_default(),
        found_at: row.verified_at,
    }
}

/// Returns the records, parts and bytes of each dataset in the archive.
#[utoipa::path(get, path = "/archive", tag = "events", operation_id = "archive_get",
    responses((status = 200, description = "The archive", body = ArchiveBody), Problems))]
pub async fn get_one(State(app): State<App>) -> Result<Json<ArchiveBody>, ApiError> {
    Ok(Json(ArchiveBody::read(&app).await?))
}
