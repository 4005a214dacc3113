//! Generates ids, tokens and random choices from the seed.
//!
//! There are two kinds: values drawn in order from a generator (an object's id), and values derived only from a name,
//! which are the same in every sandbox (a role's id, as at Cloudflare).

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Ids(ChaCha8Rng);

impl Ids {
    /// A generator for one purpose. Each purpose has its own sequence, so that a larger list of one kind does not
    /// change other kinds.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    pub(crate) fn hex32(&mut self) -> String {
        hex::encode(self.0.random::<[u8; 16]>())
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.0.random())
            .into_uuid()
            .to_string()
    }

    /// The id of a request at the edge: 16 hexadecimal digits.
    pub(crate) fn ray(&mut self) -> String {
        hex::encode(self.0.random::<[u8; 8]>())
    }

    /// A secret with a prefix, 40 letters and digits and a checksum, as issued by Cloudflare since 2026.
    pub(crate) fn secret(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let body: String = (0..40)
            .map(|_| char::from(LETTERS[self.below(LETTERS.len())]))
            .collect();
        let checksum = hex::encode(&Sha256::digest(format!("{prefix}{body}"))[..4]);
        format!("{prefix}{body}{checksum}")
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// A number from `from` to `to`, both inclusive.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to)
    }

    /// True with a probability of one in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Shuffles `items`.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The 32 hexadecimal digits for `name`, always the same.
pub(crate) fn hex32_of(name: &str) -> String {
    hex::encode(&Sha256::digest(name.as_bytes())[..16])
}

/// The UUID for `name`, always the same.
pub(crate) fn uuid_of(name: &str) -> String {
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Whether `text` is a UUID, which several paths require.
pub(crate) fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// A time in Unix seconds, which sessions use.
pub(crate) fn unix(at: DateTime<Utc>) -> i64 {
    at.timestamp()
}
