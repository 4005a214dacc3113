//! Lists in pages: how many, from where, and where the next page begins.
//!
//! A cursor is opaque to callers: base64url over a JSON array of the last row's sort key.

use crate::error::ApiError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use store::{LIST_LIMIT_MAX, StoreError, TimeCursor};
use utoipa::ToSchema;

/// Default number of rows per page.
const LIMIT_DEFAULT: i64 = 100;

/// One page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Value of `cursor` for the next page; null on the last page, or if the list is not paged.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows read with `limit`; a full page has a cursor to the next page.
    pub fn new<R>(rows: Vec<R>, limit: i64, cursor: impl Fn(&R) -> String, body: impl FnMut(R) -> T) -> Self {
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next_cursor = rows.last().filter(|_| is_full).map(cursor);
        Self {
            items: rows.into_iter().map(body).collect(),
            next_cursor,
        }
    }

    /// The same for rows that may be damaged. A damaged row is an error.
    ///
    /// # Errors
    ///
    /// If a row is damaged: the error of the first damaged row.
    pub fn read<R>(
        rows: Vec<R>,
        limit: i64,
        cursor: impl Fn(&R) -> String,
        body: impl FnMut(R) -> Result<T, StoreError>,
    ) -> Result<Self, StoreError> {
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next_cursor = rows.last().filter(|_| is_full).map(cursor);
        Ok(Self {
            items: rows.into_iter().map(body).collect::<Result<_, _>>()?,
            next_cursor,
        })
    }

    /// The same for a list that is not paged.
    ///
    /// # Errors
    ///
    /// If a row is damaged: the error of the first damaged row.
    pub fn read_whole<R>(
        rows: Vec<R>,
        body: impl FnMut(R) -> Result<T, StoreError>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            items: rows.into_iter().map(body).collect::<Result<_, _>>()?,
            next_cursor: None,
        })
    }

    /// A list that is not paged.
    pub fn whole<R>(rows: Vec<R>, body: impl FnMut(R) -> T) -> Self {
        Self {
            items: rows.into_iter().map(body).collect(),
            next_cursor: None,
        }
    }
}

/// Number of rows per page.
///
/// # Errors
///
/// [`ApiError::BadRequest`] if it is not 1 to 1,000.
pub fn limit(asked: Option<i64>) -> Result<i64, ApiError> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIST_LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::bad("limit", format!("must be 1 to {LIST_LIMIT_MAX}")))
    }
}

/// A cursor over a sort key.
pub fn cursor<const N: usize>(key: [&str; N]) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_string(&key[..]).unwrap_or_default())
}

/// Decodes the sort key from a cursor.
///
/// # Errors
///
/// [`ApiError::BadRequest`] if the cursor does not belong to this list.
pub fn read<const N: usize>(cursor: Option<&str>) -> Result<Option<[String; N]>, ApiError> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok())
        .and_then(|key| <[String; N]>::try_from(key).ok())
        .map(Some)
        .ok_or_else(no_cursor)
}

/// A cursor over time and ID.
pub fn time_cursor(at: DateTime<Utc>, id: &str) -> String {
    cursor([&at.to_rfc3339_opts(SecondsFormat::Micros, true), id])
}

/// Decodes time and ID from a cursor.
///
/// # Errors
///
/// [`ApiError::BadRequest`] if the cursor does not belong to this list.
pub fn read_time(cursor: Option<&str>) -> Result<Option<TimeCursor>, ApiError> {
    let Some([at, id]) = read(cursor)? else {
        return Ok(None);
    };
    let at = at.parse().map_err(|_| no_cursor())?;
    Ok(Some(TimeCursor { at, id }))
}

/// Decodes the number from a cursor.
///
/// # Errors
///
/// [`ApiError::BadRequest`] if the cursor does not belong to this list.
pub fn read_number(cursor: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some([number]) = read(cursor)? else {
        return Ok(None);
    };
    number.parse().map(Some).map_err(|_| no_cursor())
}

fn no_cursor() -> ApiError {
    ApiError::bad(
        "cursor",
        "must be the next_cursor of a previous page of this list",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let at = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
        let place = read_time(Some(&time_cursor(at, "e1"))).unwrap().unwrap();
        assert_eq!((place.at, place.id.as_str()), (at, "e1"));
        for other in [
            "",
            "x",
            "e30",
            &cursor(["only one"]),
            &cursor(["yesterday", "e1"]),
        ] {
            assert!(read_time(Some(other)).is_err(), "{other}");
        }
        assert_eq!(read_time(None).unwrap(), None);
    }

    #[test]
    fn a_limit_is_bounded() {
        assert_eq!(limit(None).unwrap(), 100);
        assert!(limit(Some(0)).is_err() && limit(Some(1_001)).is_err());
    }
}
