//! Two servers on one store, a purge and two commands beside them, all at work at once and none killed: every record is
//! there once, and every detection.

use super::aftermath::{Asked, faults, stuck, wait_until_quiet};
use super::arena::{Arena, batch};
use futures::future::join_all;
use std::process::Stdio;
use std::time::Instant;
use store::scratch;
use tokio::process::Command;

/// Batches that are pushed, each to one of the two servers in turn, so many at a time.
const PUSHED: usize = 120;
const AT_ONCE: usize = 4;
/// Files that each of the two commands brings in, one after the other.
const FILES: usize = 8;
const PEOPLE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_a_purge_and_two_commands_make_everything_once_on_sqlite() {
    at_once("SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_a_purge_and_two_commands_make_everything_once_on_postgresql() {
    at_once("PostgreSQL").await;
}

/// Runs the program to its end; what it said when it failed.
async fn run(arena: &Arena, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::from(arena.command(arguments));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

async fn at_once(engine: &str) {
    let stores = scratch::stores().await.unwrap();
    let Some(scratch) = stores.into_iter().find(|one| one.store.engine_name() == engine) else {
        return;
    };
    let mut people: Vec<String> = (0..PEOPLE).map(|n| format!("p{n}")).collect();
    people.push("x0".to_owned());
    let arena = Arena::new(scratch, &people).await;
    let servers = [arena.server(), arena.server()];
    let who = |number: usize| format!("p{}", number % PEOPLE);
    let mut asked = Asked::default();

    // Records of someone who is removed from the logs while everything else goes on.
    assert!(arena.post(&servers[0].address, batch(0, "x0")).await);
    asked.batches.insert(0, "x0".to_owned());
    wait_until_quiet(&arena).await;
    asked.purged.insert("x0".to_owned());

    let begun = Instant::now();
    let pushing = async {
        for numbers in (1..=PUSHED).collect::<Vec<_>>().chunks(AT_ONCE) {
            let posts = numbers
                .iter()
                .map(|number| arena.post(&servers[number % 2].address, batch(*number, &who(*number))));
            assert!(join_all(posts).await.into_iter().all(|is_taken| is_taken));
        }
    };
    let bringing = async {
        for number in (PUSHED + 1)..=(PUSHED + FILES) {
            let file = arena.file(number, &who(number));
            let file = file.display().to_string();
            let arguments = [
                "ingest",
                &file,
                "--connection",
                "corp",
                "--dataset",
                "gateway_dns",
            ];
            run(&arena, &arguments).await.unwrap();
        }
    };
    let replaying = async {
        for _ in 0..FILES {
            run(&arena, &["events", "replay", "--since", "3650d"])
                .await
                .unwrap();
        }
    };
    let purging = async {
        // Bodies that are being received hold a purge off: whoever asked asks again.
        let arguments = [
            "events",
            "purge",
            "--person",
            "x0@tidewater.example",
            "--reason",
            "asked",
            "--yes",
        ];
        let mut refusals = Vec::new();
        while let Err(refusal) = run(&arena, &arguments).await {
            assert!(refusals.len() < 100, "{refusals:#?}");
            refusals.push(refusal);
        }
    };
    tokio::join!(pushing, bringing, replaying, purging);
    for number in 1..=(PUSHED + FILES) {
        asked.batches.insert(number, who(number));
    }
    wait_until_quiet(&arena).await;
    let seconds = begun.elapsed().as_secs_f64();
    drop(servers);

    let (lost, twice) = faults(&arena, &asked).await;
    let stuck = stuck(&arena).await;
    println!(
        "{engine}: {PUSHED} batches pushed to two servers, {FILES} brought in and {FILES} replays by commands, one purge, \
         in {seconds:.0} s; lost {}, twice {}, stuck {}",
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
