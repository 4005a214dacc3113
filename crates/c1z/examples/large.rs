//! Measures the time, memory and disk space for a large file: `cargo run --release --example large -- 200000`.
#![expect(clippy::print_stdout, reason = "it is run to see this")]

use c1z::message::{
    Entitlement, Grant, Purpose, Resource, ResourceId, ResourceType, Status, StatusKind, Trait,
};
use c1z::objects::{User, profile, text};
use c1z::{Reader, UNPACKED_BYTES_MAX, Writer, WriterOptions};
use chrono::DateTime;
use std::error::Error;
use std::time::Instant;

/// The peak memory of this process so far, as reported by Linux.
fn memory_peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.unwrap_or("unknown").trim().to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let grants: u64 = std::env::args().nth(1).as_deref().unwrap_or("200000").parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("large.c1z");
    println!("at the beginning: {}", memory_peak());
    for round in 0..2_u8 {
        let began = Instant::now();
        let writer = Writer::open(&path, WriterOptions::default()).await?;
        let at = DateTime::from_timestamp(1_767_000_000 + i64::from(round) * 86400, 0).unwrap_or_default();
        let mut sync = writer.begin_sync(at, [round; 16]).await?;
        sync.resource_type(ResourceType::new("user", "User", &[Trait::User]))
            .await?;
        sync.resource_type(ResourceType::new("group", "Group", &[Trait::Group]))
            .await?;
        for number in 0..grants / 10 {
            let address = format!("person{number}@tidewater.example");
            let user = User {
                emails: vec![address.clone()],
                login: address.clone(),
                status: Status::new(StatusKind::Enabled),
                ..User::default()
            };
            sync.resource(user.resource(id("user", number), address)).await?;
        }
        for number in 0..grants / 100 {
            let about = profile([("group_name", text(format!("group-{number}")))]);
            sync.resource(Resource::group(
                id("group", number),
                format!("group-{number}"),
                about,
            ))
            .await?;
            let purpose = Purpose::Assignment;
            sync.entitlement(Entitlement::new(
                id("group", number),
                "member",
                "Member",
                purpose,
                &["user"],
            ))
            .await?;
        }
        for number in 0..grants {
            let who = id("user", number * 7919 % (grants / 10));
            sync.grant(
                Grant::new(id("group", number / 100), "member", who)
                    .derived([(format!("group:{:032x}:member", number % 97), number % 2 == 0)]),
            )
            .await?;
        }
        let done = sync.finish(at).await?;
        println!("{:.1?}: {done:?}; peak {}", began.elapsed(), memory_peak());
    }
    let began = Instant::now();
    let mut reader = Reader::open(&path, UNPACKED_BYTES_MAX).await?;
    let syncs = reader.syncs().await?;
    let mut after = 0;
    let mut seen = 0;
    loop {
        let page = reader.page::<Grant>(&syncs[0].id, after, 1000).await?;
        let Some(last) = page.last() else { break };
        (after, seen) = (last.position, seen + page.len());
    }
    println!(
        "{:.1?}: read {seen} grants; peak {}",
        began.elapsed(),
        memory_peak()
    );
    Ok(())
}

/// An id with the length of Cloudflare's ids.
fn id(kind: &str, number: u64) -> ResourceId {
    ResourceId::new(kind, format!("{number:032x}"))
}
