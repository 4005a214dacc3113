//! One kill at every point that has a name, of a server or of the command that comes there.

use super::aftermath::{Asked, faults, stuck, wait_until_quiet};
use super::arena::{Arena, batch, email};
use hub::fault::POINTS;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use store::scratch;

const PATIENCE: Duration = Duration::from_secs(60);
const KILLED: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_every_point_on_sqlite() {
    kill_at_every_point("SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_every_point_on_postgresql() {
    kill_at_every_point("PostgreSQL").await;
}

/// Points of what goes by days, by jobs at Cloudflare, by buckets or over records of before: `hub/tests/it/killed_upkeep.rs`
/// and `again.rs` there kill at them, where these can be made.
const IN_THE_HUB: [&str; 9] = [
    "posture",
    "logpush",
    "source",
    "objects",
    "retention",
    "sweep",
    "adopt",
    "rewrite",
    "carry_over",
];

/// Whether the program is killed at the point here.
fn is_here(point: &str) -> bool {
    !IN_THE_HUB.contains(&point.split_once('.').unwrap().0)
}

/// Who the point concerns.
fn whose(point: &str) -> String {
    point.replace(['.', '_'], "-")
}

async fn kill_at_every_point(engine: &str) {
    let stores = scratch::stores().await.unwrap();
    let Some(scratch) = stores.into_iter().find(|one| one.store.engine_name() == engine) else {
        return;
    };
    let people: Vec<String> = POINTS.iter().map(|point| whose(point)).collect();
    let arena = Arena::new(scratch, &people).await;
    let mut asked = Asked::default();
    // What purges remove is there before.
    for (number, point) in POINTS
        .iter()
        .enumerate()
        .filter(|(_, point)| point.starts_with("purge."))
    {
        let file = arena.file(number, &whose(point));
        let (succeeded, told) = arena.run(&ingest(&file.display().to_string()));
        assert!(succeeded, "{told}");
        asked.batches.insert(number, whose(point));
        asked.purged.insert(whose(point));
    }
    for (number, point) in POINTS.iter().enumerate().filter(|(_, point)| is_here(point)) {
        let who = whose(point);
        match point.split_once('.').unwrap().0 {
            "receive" | "ingest" | "detection" => {
                let file = arena.file(number, &who);
                dies(&arena, point, &ingest(&file.display().to_string()));
                asked.batches.insert(number, who);
                arena.scratch.store.leases_run_out().await.unwrap();
                let (succeeded, told) = arena.run(&ingest(&file.display().to_string()));
                assert!(succeeded, "after {point}: {told}");
            }
            "risk" | "coaching" | "message" | "signal" => {
                server_dies(&arena, point, batch(number, &who)).await;
                asked.batches.insert(number, who);
            }
            "change" => {
                let person = email(&who);
                let arguments = [
                    "grant", "--person", &person, "--group", "Finance", "--for", "8h", "--yes",
                ];
                dies_and_is_asked_again(&arena, point, &arguments).await;
                asked.granted_for_a_time.insert(who);
            }
            "offboard" => {
                let person = email(&who);
                dies_and_is_asked_again(&arena, point, &["offboard", "--person", &person, "--yes"]).await;
                asked.offboarded.insert(who);
            }
            "replay" => {
                let arguments = ["events", "replay", "--since", "2000-01-01T00:00:00Z"];
                dies_and_is_asked_again(&arena, point, &arguments).await;
            }
            "sync" => dies_and_is_asked_again(&arena, point, &["sync"]).await,
            "purge" => {
                let person = email(&who);
                let arguments = [
                    "events", "purge", "--person", &person, "--reason", "asked", "--yes",
                ];
                // A part that a killed process has left is judged once it is old enough.
                until_judged(&arena).await;
                dies_and_is_asked_again(&arena, point, &arguments).await;
            }
            other => panic!("nothing comes to points of {other}"),
        }
    }
    let server = arena.server();
    wait_until_quiet(&arena).await;
    server.kill();
    let (lost, twice) = faults(&arena, &asked).await;
    let stuck = stuck(&arena).await;
    println!(
        "{engine}: {} kills, one at each point; lost {}, twice {}, stuck {}",
        POINTS.iter().filter(|point| is_here(point)).count(),
        lost.len(),
        twice.len(),
        stuck.len()
    );
    assert!(
        lost.is_empty() && twice.is_empty() && stuck.is_empty(),
        "{lost:#?}\n{twice:#?}\n{stuck:#?}"
    );
    arena.end().await;
}

fn ingest(file: &str) -> Vec<&str> {
    vec!["ingest", file, "--connection", "corp", "--dataset", "gateway_dns"]
}

/// Runs a command that comes to the point and is killed there.
fn dies(arena: &Arena, point: &str, arguments: &[&str]) {
    let output = arena
        .command(arguments)
        .env("FLAREWARD_KILL_AT", point)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.signal(),
        Some(KILLED),
        "{arguments:?} does not come to {point}: {told}"
    );
}

async fn dies_and_is_asked_again(arena: &Arena, point: &str, arguments: &[&str]) {
    dies(arena, point, arguments);
    arena.scratch.store.leases_run_out().await.unwrap();
    let (succeeded, told) = arena.run(arguments);
    assert!(succeeded, "after {point}: {told}");
}

/// Waits until what killed processes have left in the archive is old enough to be judged: before that, a purge is refused.
async fn until_judged(arena: &Arena) {
    let begun = Instant::now();
    loop {
        let report = hub::sweep::run(&arena.app, arena.app.clock.now()).await.unwrap();
        if report.young == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{report:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends a batch to a server that comes to the point and is killed there.
async fn server_dies(arena: &Arena, point: &str, body: Vec<u8>) {
    let mut command = arena.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("FLAREWARD_KILL_AT", point).stdout(Stdio::null());
    let mut server = crate::program::Server::of(command);
    assert!(arena.post(&server.address, body).await, "{point}");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = server.ended() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "the server does not come to {point}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status.signal(), Some(KILLED), "{point}");
    arena.scratch.store.leases_run_out().await.unwrap();
}
