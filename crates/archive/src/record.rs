//! A record of the archive.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The digest that identifies a record: the same record received twice has the same ID. As text, 32 hex digits, it is the
/// ID of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for RecordId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

/// One log record, with the columns that searches need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its ID.
    pub id: RecordId,
    /// When it happened, by its own time: microseconds since 1970.
    pub at_us: i64,
    /// The address or name in the record, in lower case.
    pub identifier: Option<String>,
    /// Whether the identifier can be that of a person.
    pub is_person: bool,
    /// The action or decision.
    pub action: Option<String>,
    /// The target: a name, an address, an application.
    pub target: Option<String>,
    /// The source IP address.
    pub source_ip: Option<String>,
    /// The country, in upper case.
    pub country: Option<String>,
    /// ID of the connection of the account.
    pub connection: String,
    /// ID of the batch that first contained it.
    pub batch: String,
    /// The line in the batch, starting at 1; 0 if it is unknown.
    pub line: u64,
    /// Whether the line had to be repaired before it could be read.
    pub is_repaired: bool,
    /// The record as it came.
    pub raw: String,
}

impl Record {
    /// The order of rows in a part: identifier, time, ID. Records without an identifier come first.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        (&self.identifier, self.at_us, self.id).cmp(&(&other.identifier, other.at_us, other.id))
    }

    /// The approximate size in memory.
    pub fn size_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + text(&self.identifier)
            + text(&self.action)
            + text(&self.target)
            + text(&self.source_ip)
            + text(&self.country)
            + self.connection.len()
            + self.batch.len()
            + self.raw.len()
    }
}
