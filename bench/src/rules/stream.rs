//! Log records of two datasets, generated from a seed: the same in every run.
//!
//! Every documented field is present, and one record in thirteen matches one of the rules of [`super::book`]. Start
//! reading at [`write()`].

use super::book::{self, PLANTED_DNS, PLANTED_HTTP};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) const DNS_EVENTS: usize = 120_000;
pub(super) const HTTP_EVENTS: usize = 80_000;
/// One in this number of records is made to match a rule.
const PLANTED_ONE_IN: u64 = 13;
const PEOPLE: u64 = 2_000;
/// 2026-01-05T08:00:00Z; the stream has two and a half records per second from there.
const BEGIN_MS: u64 = 1_767_600_000_000;
const STEP_MS: u64 = 400;
const FIELDS: &str = rules::recognise::FIELDS;
const WORDS: [&str; 24] = [
    "mail", "cdn", "static", "api", "login", "img", "video", "shop", "news", "portal", "media", "cloud",
    "sync", "update", "metrics", "assets", "chat", "docs", "drive", "music", "maps", "pay", "store", "edge",
];

/// Pseudo-random numbers that are the same in every run (SplitMix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len() as u64) as usize]
    }

    fn hex(&mut self, digits: usize) -> String {
        let text = format!("{:016x}{:016x}", self.next(), self.next());
        text[..digits].to_owned()
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

/// The measured files.
pub(super) struct Files {
    pub(super) plain: PathBuf,
    pub(super) packed: PathBuf,
    pub(super) bytes: u64,
    pub(super) packed_bytes: u64,
}

/// Writes the stream twice, plain and gzip.
pub(super) fn write(folder: &Path) -> anyhow::Result<Files> {
    let (plain, packed) = (folder.join("events.ndjson"), folder.join("events.ndjson.gz"));
    let mut plain_to = BufWriter::new(File::create(&plain)?);
    let mut packed_to = GzEncoder::new(BufWriter::new(File::create(&packed)?), Compression::default());
    let mut numbers = Numbers(20_260_105);
    let (mut dns, mut http) = (DNS_EVENTS, HTTP_EVENTS);
    while dns + http > 0 {
        let at_ms = BEGIN_MS + (DNS_EVENTS + HTTP_EVENTS - dns - http) as u64 * STEP_MS;
        let is_dns = numbers.below((dns + http) as u64) < dns as u64;
        let record = if is_dns {
            dns -= 1;
            dns_record(&mut numbers, at_ms)
        } else {
            http -= 1;
            http_record(&mut numbers, at_ms)
        };
        let line = Value::Object(record).to_string();
        writeln!(plain_to, "{line}")?;
        writeln!(packed_to, "{line}")?;
    }
    plain_to.flush()?;
    packed_to.finish()?.flush()?;
    Ok(Files {
        bytes: plain.metadata()?.len(),
        packed_bytes: packed.metadata()?.len(),
        plain,
        packed,
    })
}

fn time(at_ms: u64) -> String {
    i64::try_from(at_ms)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

/// Every documented field of a dataset with a value of its type; the relevant fields are set afterwards.
fn blank(dataset: &str, numbers: &mut Numbers) -> Map<String, Value> {
    FIELDS
        .lines()
        .filter_map(|line| line.strip_prefix(dataset)?.strip_prefix('\t'))
        .map(|line| {
            let mut columns = line.split('\t');
            let name = columns.next().unwrap_or_default();
            let value = match columns.next().unwrap_or_default() {
                "int" => json!(numbers.below(200)),
                "bool" => json!(numbers.below(2) == 0),
                "array[int]" => json!([numbers.below(190), 155]),
                "array[string]" => json!([numbers.word()]),
                "string"
                    if [
                        "DeviceID",
                        "PolicyID",
                        "QueryID",
                        "RequestID",
                        "SessionID",
                        "UserID",
                    ]
                    .contains(&name) =>
                {
                    json!(numbers.uuid())
                }
                "string" => json!(""),
                "object" => json!({}),
                _ => json!([]),
            };
            (name.to_owned(), value)
        })
        .collect()
}

fn dns_record(numbers: &mut Numbers, at_ms: u64) -> Map<String, Value> {
    let mut record = blank("gateway_dns", numbers);
    let person = numbers.below(PEOPLE);
    let host = format!(
        "{}{}.{}.service{}.example.com",
        numbers.word(),
        numbers.below(40),
        numbers.word(),
        numbers.below(900)
    );
    let address = |numbers: &mut Numbers| {
        format!(
            "104.{}.{}.{}",
            16 + numbers.below(16),
            numbers.below(256),
            numbers.below(256)
        )
    };
    let addresses = [address(numbers), address(numbers)];
    let set = [
        ("Datetime", json!(time(at_ms))),
        ("AccountID", json!("0123456789abcdef0123456789abcdef")),
        ("Email", json!(format!("person{person}@corp.example"))),
        ("DeviceName", json!(format!("laptop-{person}"))),
        ("UserID", json!(format!("7d1c0000-0000-4000-8000-{person:012}"))),
        ("ColoCode", json!("LIS")),
        ("CustomResolverAddress", json!("10.0.0.53")),
        ("InternalDNSViewID", Value::Null),
        ("Location", json!("Lisbon office")),
        ("PolicyName", json!("Default")),
        ("Protocol", json!("https")),
        (
            "QueryNameReversed",
            json!(host.rsplit('.').collect::<Vec<_>>().join(".")),
        ),
        ("QueryName", json!(host)),
        ("QuerySize", json!(30 + numbers.below(90))),
        ("QueryType", json!(1)),
        (
            "QueryTypeName",
            json!(if numbers.below(4) == 0 { "AAAA" } else { "A" }),
        ),
        ("RCode", json!(if numbers.below(20) == 0 { 3 } else { 0 })),
        ("ResolvedIPs", json!(addresses)),
        ("ResolvedIPCountryCodes", json!(["US", "PT"])),
        ("ResolverDecision", json!("allowedOnNoPolicyMatch")),
        (
            "ResourceRecords",
            json!([{"type": 1, "data": addresses[0]}, {"type": 1, "data": addresses[1]}]),
        ),
        ("SrcIP", json!(format!("198.51.100.{}", numbers.below(250)))),
        (
            "SrcIPCountryCode",
            json!(["PT", "ES", "DE", "FR"][numbers.below(4) as usize]),
        ),
        ("SrcIPContinentCode", json!("EU")),
        ("TimeZone", json!("Europe/Lisbon")),
    ];
    record.extend(set.map(|(name, value)| (name.to_owned(), value)));
    if numbers.below(PLANTED_ONE_IN) == 0 {
        let rule = numbers.below(PLANTED_DNS as u64) as usize;
        for (name, value) in book::dns_event(rule) {
            record.insert(name.to_owned(), value);
        }
    }
    record
}

fn http_record(numbers: &mut Numbers, at_ms: u64) -> Map<String, Value> {
    let mut record = blank("gateway_http", numbers);
    let person = numbers.below(PEOPLE);
    let host = format!(
        "{}.{}{}.example.org",
        numbers.word(),
        numbers.word(),
        numbers.below(900)
    );
    let path = format!(
        "{}/{}/{}?session={}&lang=pt",
        numbers.word(),
        numbers.word(),
        numbers.hex(12),
        numbers.hex(32)
    );
    let set = [
        ("Datetime", json!(time(at_ms))),
        ("AccountID", json!("0123456789abcdef0123456789abcdef")),
        ("Action", json!("allow")),
        ("BlockedFileSize", json!(0)),
        (
            "DestinationIP",
            json!(format!("104.18.{}.{}", numbers.below(256), numbers.below(256))),
        ),
        ("DestinationPort", json!(443)),
        ("DeviceName", json!(format!("laptop-{person}"))),
        ("Email", json!(format!("person{person}@corp.example"))),
        ("HTTPHost", json!(host)),
        (
            "HTTPMethod",
            json!(if numbers.below(5) == 0 { "POST" } else { "GET" }),
        ),
        (
            "HTTPStatusCode",
            json!([200, 200, 200, 304, 404][numbers.below(5) as usize]),
        ),
        ("HTTPVersion", json!("HTTP/2")),
        ("PolicyName", json!("Default")),
        ("ProxyEndpoint", json!("proxy.corp.example")),
        ("Referer", json!(format!("https://{host}/"))),
        ("SourceIP", json!(format!("198.51.100.{}", numbers.below(250)))),
        ("SourceIPCountryCode", json!("PT")),
        ("URL", json!(format!("https://{host}/{path}"))),
        ("UploadedFileNames", json!(["notes.txt"])),
        (
            "UserAgent",
            json!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
            ),
        ),
        ("UserID", json!(format!("7d1c0000-0000-4000-8000-{person:012}"))),
    ];
    record.extend(set.map(|(name, value)| (name.to_owned(), value)));
    if numbers.below(PLANTED_ONE_IN) == 0 {
        let rule = numbers.below(PLANTED_HTTP as u64) as usize;
        for (name, value) in book::http_event(rule) {
            record.insert(name.to_owned(), value);
        }
    }
    record
}
