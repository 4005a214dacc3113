//! Ingest of log records: on one core, and from end to end.

use crate::Figure;
use bytes::Bytes;
use chrono::Utc;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use hub::ingest::receive;
use hub::settings::Settings;
use hub::{App, driver};
use model::{ConnectionId, CredentialKind};
use rules::book::RuleBook;
use rules::detector::DetectorScratch;
use rules::{Dataset, normalise::normalise};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::Instant;
use store::{ConnectionRow, NewConnection};

const RECORDS: usize = 50_000;
const BATCHES: usize = 20;

/// A DNS record with the fields that a job requests; one in fifty is a lookup of a phishing domain.
pub(crate) fn record(number: usize) -> Value {
    let category = if number.is_multiple_of(50) { 131 } else { 26 };
    json!({
        "AccountID": "0123456789abcdef0123456789abcdef", "ApplicationID": 0, "ApplicationName": "",
        "ColoCode": "LIS", "ColoID": 212, "Datetime": "2026-01-05T10:00:00.000000000Z",
        "DeviceID": format!("device-{}", number % 500), "DeviceName": "laptop", "DstIP": "172.64.36.1", "DstPort": 443,
        "Email": format!("person{}@bench.example", number % 2_000), "InitialCategoryIDs": [category],
        "InitialCategoryNames": ["Technology"], "IsResponseCached": false, "Location": "Lisbon", "LocationID": "",
        "MatchedCategoryIDs": [], "MatchedCategoryNames": [], "PolicyID": "", "PolicyName": "", "Protocol": "https",
        "QueryCategoryIDs": [category, 155], "QueryCategoryNames": ["Technology", "Business"],
        "QueryID": format!("query-{number}"), "QueryName": format!("host{number}.service.example.com"),
        "QueryNameReversed": format!("com.example.service.host{number}"), "QuerySize": 52, "QueryType": 1,
        "QueryTypeName": "A", "RCode": 0, "ResolvedIPs": ["203.0.113.10", "203.0.113.11"],
        "ResolvedIPCountryCodes": ["PT"], "ResolverDecision": "allowedOnNoPolicyMatch", "ResourceRecords": [],
        "SrcIP": "198.51.100.7", "SrcIPContinentCode": "EU", "SrcIPCountryCode": "PT", "SrcPort": 50_123,
        "TimeZone": "Europe/Lisbon", "UserID": format!("user-{}", number % 2_000),
    })
}

pub(crate) fn one_core() -> anyhow::Result<Vec<Figure>> {
    let lines: Vec<String> = (0..RECORDS).map(|number| record(number).to_string()).collect();
    let rules = RuleBook::load(None);
    let dataset = Dataset::named("gateway_dns").ok_or_else(|| anyhow::anyhow!("no such dataset"))?;
    let connection = ConnectionId("bench".to_owned());
    let now = Utc::now();

    let begun = Instant::now();
    let mut members = 0;
    for line in &lines {
        members += serde_json::from_str::<Value>(line)?
            .as_object()
            .map_or(0, serde_json::Map::len);
    }
    let floor = Figure::of("serde_json: text to value", "records/s", lines.len(), begun);

    let begun = Instant::now();
    for line in &lines {
        members += usize::from(normalise(line, dataset, &connection, now).is_ok());
    }
    let normalised = Figure::of("normalise: text to event", "records/s", lines.len(), begun);

    let begun = Instant::now();
    let mut scratch = DetectorScratch::default();
    for line in &lines {
        rules
            .detector
            .look(Some("gateway_dns"), line.as_bytes(), None, &mut scratch)?;
        members += scratch.found.rules.len();
    }
    let matched = Figure::of(
        "match: text to the dataset's rules",
        "records/s",
        lines.len(),
        begun,
    );
    anyhow::ensure!(members > 0, "nothing was read");
    Ok(vec![floor, normalised, matched])
}

/// A connection that accepts records.
pub(crate) async fn new_connection(app: &App, ingest_secret_hash: String) -> anyhow::Result<ConnectionRow> {
    let connection = NewConnection {
        id: ConnectionId("bench".to_owned()),
        label: "bench".to_owned(),
        account_id: "0123456789abcdef0123456789abcdef".to_owned(),
        account_name: "Bench".to_owned(),
        base_url: "https://api.cloudflare.com/client/v4".to_owned(),
        credential_kind: CredentialKind::UserToken,
        credential_email: None,
        credential_sealed: Vec::new(),
        credential_fingerprint: String::new(),
        ingest_secret_sealed: Vec::new(),
        ingest_secret_hash,
        created_at: app.clock.now(),
    };
    app.store.connection_insert(&connection).await?;
    app.store
        .connection_by_label("bench")
        .await?
        .ok_or_else(|| anyhow::anyhow!("no connection"))
}

pub(crate) async fn whole() -> anyhow::Result<Vec<Figure>> {
    let bodies: Vec<Vec<u8>> = (0..BATCHES)
        .map(|batch| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            for number in 0..RECORDS / BATCHES {
                writeln!(encoder, "{}", record(batch * RECORDS / BATCHES + number))?;
            }
            encoder.finish()
        })
        .collect::<Result<_, _>>()?;

    let begun = Instant::now();
    let mut bytes = 0;
    for body in &bodies {
        bytes += std::io::copy(
            &mut MultiGzDecoder::new(body.as_slice()).by_ref(),
            &mut std::io::sink(),
        )?;
    }
    anyhow::ensure!(bytes > 0, "nothing was unpacked");
    let floor = Figure::of("gunzip alone", "records/s", RECORDS, begun);

    let folder = tempfile::tempdir()?;
    let mut settings = Settings::default();
    settings.data.dir = folder.path().to_owned();
    let app = App::open(settings).await?;
    let row = new_connection(&app, String::new()).await?;

    let begun = Instant::now();
    for body in &bodies {
        let parts = futures::stream::iter(body.chunks(64 << 10).map(|part| Ok(Bytes::copy_from_slice(part))));
        receive(&app, &row, "gateway_dns", "file", parts).await?;
    }
    let received = Figure::of(
        "receive: checked, archived, synced to the disk",
        "records/s",
        RECORDS,
        begun,
    );
    let begun = Instant::now();
    driver::pipeline(&app).await?;
    let processed = Figure::of(
        "process: events stored, rules run, levels kept",
        "records/s",
        RECORDS,
        begun,
    );
    let counts = app.store.batch_counts(None).await?;
    anyhow::ensure!(counts.accepted as usize == RECORDS, "{counts:?}");
    Ok(vec![floor, received, processed])
}
