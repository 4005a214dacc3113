//! Sync ids: KSUIDs, which sort by creation time.
//!
//! Four bytes of time and sixteen random bytes, as 27 base-62 digits. The test vectors are from segmentio/ksuid's
//! documentation.

use crate::C1zError;
use chrono::{DateTime, Utc};
use std::fmt;

/// 2014-05-13T16:53:20Z, the epoch of KSUIDs.
const EPOCH: i64 = 1_400_000_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of one sync. Of two syncs with the same end time, readers use the one whose id sorts last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncId(String);

impl SyncId {
    /// The id of a sync that starts at `at` (in whole seconds); `random` makes it unique.
    ///
    /// # Errors
    ///
    /// [`C1zError::Time`] before 2014-05-13 and after 2150-06-19.
    pub fn new(at: DateTime<Utc>, random: [u8; 16]) -> Result<Self, C1zError> {
        let seconds = u32::try_from(at.timestamp() - EPOCH).map_err(|_| C1zError::Time { at })?;
        let mut number = [0; 20];
        number[..4].copy_from_slice(&seconds.to_be_bytes());
        number[4..].copy_from_slice(&random);
        let mut text = [b'0'; 27];
        for place in text.iter_mut().rev() {
            let mut rest = 0;
            for byte in &mut number {
                let value = rest * 256 + u32::from(*byte);
                *byte = (value / 62) as u8;
                rest = value % 62;
            }
            *place = DIGITS[rest as usize];
        }
        Ok(Self(text.into_iter().map(char::from).collect()))
    }

    /// An id as stored in a file.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// The 27 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SyncId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seconds: i64, random: u128) -> String {
        let at = DateTime::from_timestamp(EPOCH + seconds, 0).unwrap();
        SyncId::new(at, random.to_be_bytes()).unwrap().to_string()
    }

    #[test]
    fn an_id_is_a_ksuid() {
        assert_eq!(
            id(107_608_047, 0xB5A1_CD34_B5F9_9D11_54FB_6853_345C_9735),
            "0ujtsYcgvSTl8PAuAdqWYSMnLOv"
        );
        assert_eq!(id(0, 0), "0".repeat(27));
        assert_eq!(id(i64::from(u32::MAX), u128::MAX), "aWgEPTl1tmebfsQzFP4bxwgy80V");
    }

    #[test]
    fn a_time_that_does_not_fit_is_refused() {
        for seconds in [-1, i64::from(u32::MAX) + 1] {
            let at = DateTime::from_timestamp(EPOCH + seconds, 0).unwrap();
            assert!(matches!(SyncId::new(at, [0; 16]), Err(C1zError::Time { .. })));
        }
    }
}
