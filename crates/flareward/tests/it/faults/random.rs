//! Two servers on one store and commands beside them, killed at random while batches come and changes are asked for.
//!
//! Whoever sends or asks does so again until it is answered, as Logpush and people do. 60 kills, or as many as fit in
//! `FLAREWARD_SOAK_SECONDS`.

use super::aftermath::{Asked, faults, stuck, wait_until_quiet};
use super::arena::{Arena, batch};
use crate::program::Server;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sandbox::Faults;
use std::collections::{BTreeMap, VecDeque};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::scratch;
use tokio::process::Command;

const KILLS: usize = 60;
/// Who the records are of.
const PEOPLE: usize = 8;
/// Whose access is changed: one change each, so that what there must be in the end is known.
const CHANGED: usize = 40;
/// Things to do that wait while the killing goes on.
const QUEUE: usize = 8;
/// Posts and commands that are under way at a time.
const POSTERS: usize = 2;
const COMMANDERS: usize = 3;
/// Between two kills, in milliseconds: long enough that something was begun.
const PAUSE_MS: std::ops::Range<u64> = 150..900;
/// So often a command may fail for another reason than a kill before the test says why.
const TRIES: usize = 30;

/// One thing that is done until it succeeds.
#[derive(Debug, Clone)]
enum Work {
    Post { number: usize, who: String },
    Command { arguments: Vec<String>, tries: usize },
}

struct Run {
    arena: Arena,
    servers: Mutex<[Option<Server>; 2]>,
    queue: Mutex<VecDeque<Work>>,
    under_way: Mutex<usize>,
    /// Process ids of commands that run.
    commands: Mutex<BTreeMap<u32, ()>>,
    asked: Mutex<Asked>,
    random: Mutex<ChaCha8Rng>,
    produced: Mutex<usize>,
    ending: Mutex<bool>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_twice_or_stuck_on_sqlite() {
    kill_at_random("SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_twice_or_stuck_on_postgresql() {
    kill_at_random("PostgreSQL").await;
}

async fn kill_at_random(engine: &str) {
    let stores = scratch::stores().await.unwrap();
    let Some(scratch) = stores.into_iter().find(|one| one.store.engine_name() == engine) else {
        return;
    };
    let soak = std::env::var("FLAREWARD_SOAK_SECONDS")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed: u64 = match std::env::var("FLAREWARD_SOAK_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 11,
    };
    let mut people: Vec<String> = (0..PEOPLE).map(|n| format!("p{n}")).collect();
    people.extend((0..CHANGED).map(|n| format!("c{n}")));
    people.extend(["x0", "x1"].map(str::to_owned));
    let run = Arc::new(Run {
        arena: Arena::new(scratch, &people).await,
        servers: Mutex::default(),
        queue: Mutex::default(),
        under_way: Mutex::default(),
        commands: Mutex::default(),
        asked: Mutex::default(),
        random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        produced: Mutex::default(),
        ending: Mutex::default(),
    });
    for place in 0..2 {
        run.start(place);
    }
    run.to_be_removed().await;
    run.arena.sandbox.world().faults_set(Faults {
        server_error_every: Some(23),
        truncate_every: Some(31),
        ..Faults::default()
    });
    let mut workers = Vec::new();
    for _ in 0..POSTERS {
        workers.push(tokio::spawn(Arc::clone(&run).post()));
    }
    for _ in 0..COMMANDERS {
        workers.push(tokio::spawn(Arc::clone(&run).command()));
    }
    let (of_servers, of_commands) = run.kill(soak).await;

    // From here on nothing is killed: what was asked is done, and what was begun is ended.
    run.arena.sandbox.world().faults_clear();
    *run.ending.lock().unwrap() = true;
    for worker in workers {
        worker.await.unwrap();
    }
    wait_until_quiet(&run.arena).await;
    for place in 0..2 {
        drop(run.servers.lock().unwrap()[place].take());
    }
    let asked = std::mem::take(&mut *run.asked.lock().unwrap());
    let (lost, twice) = faults(&run.arena, &asked).await;
    let stuck = stuck(&run.arena).await;
    println!(
        "{engine}, seed {seed}: {} kills ({of_servers} of servers, {of_commands} of commands), {} calls of Cloudflare's \
         API with every 23rd failing and every 31st answer cut off, {} batches and {} changes; lost {}, twice {}, \
         stuck {}",
        of_servers + of_commands,
        run.arena.sandbox.world().requests().values().sum::<u64>(),
        asked.batches.len(),
        asked.granted.len() + asked.granted_for_a_time.len() + asked.revoked.len() + asked.offboarded.len(),
        lost.len(),
        twice.len(),
        stuck.len()
    );
    assert!(
        lost.is_empty() && twice.is_empty() && stuck.is_empty(),
        "{lost:#?}\n{twice:#?}\n{stuck:#?}"
    );
}

impl Run {
    fn start(&self, place: usize) {
        let server = self.arena.server();
        self.servers.lock().unwrap()[place] = Some(server);
    }

    fn random(&self, range: std::ops::Range<usize>) -> usize {
        self.random.lock().unwrap().random_range(range)
    }

    /// Records of two people, who are to be removed from the logs while everything else goes on.
    async fn to_be_removed(&self) {
        for who in ["x0", "x1"] {
            let number = self.next();
            let address = self.address().unwrap();
            assert!(self.arena.post(&address, batch(number, who)).await);
            self.asked.lock().unwrap().batches.insert(number, who.to_owned());
        }
        wait_until_quiet(&self.arena).await;
        for who in ["x0", "x1"] {
            self.asked.lock().unwrap().purged.insert(who.to_owned());
            self.ask(&format!(
                "events purge --person {who}@tidewater.example --reason asked --yes"
            ));
        }
    }

    fn next(&self) -> usize {
        let mut produced = self.produced.lock().unwrap();
        *produced += 1;
        *produced - 1
    }

    /// The address of a server that runs.
    fn address(&self) -> Option<String> {
        let first = self.random(0..2);
        let servers = self.servers.lock().unwrap();
        let server = servers[first].as_ref().or(servers[1 - first].as_ref());
        server.map(|server| server.address.clone())
    }

    fn ask(&self, arguments: &str) {
        let arguments = arguments.split(' ').map(str::to_owned).collect();
        let work = Work::Command { arguments, tries: 0 };
        self.queue.lock().unwrap().push_back(work);
    }

    /// Thinks of something to do.
    fn produce(&self, changed: &mut usize) {
        let number = self.next();
        let who = format!("p{}", number % PEOPLE);
        match self.random(0..10) {
            0..4 => {
                self.asked.lock().unwrap().batches.insert(number, who.clone());
                self.queue.lock().unwrap().push_back(Work::Post { number, who });
            }
            4..6 => {
                let file = self.arena.file(number, &who);
                self.asked.lock().unwrap().batches.insert(number, who);
                self.ask(&format!(
                    "ingest {} --connection corp --dataset gateway_dns",
                    file.display()
                ));
            }
            6 => self.ask("sync"),
            7 => self.ask("events replay --since 3650d"),
            _ if *changed < CHANGED => {
                let who = format!("c{changed}");
                self.change(*changed, who);
                *changed += 1;
            }
            _ => {}
        }
    }

    fn change(&self, number: usize, who: String) {
        let person = format!("--person {who}@tidewater.example");
        let mut asked = self.asked.lock().unwrap();
        match number % 4 {
            0 => {
                self.ask(&format!("grant {person} --group Finance --yes"));
                asked.granted.insert(who);
            }
            1 => {
                self.ask(&format!("grant {person} --group Finance --for 8h --yes"));
                asked.granted_for_a_time.insert(who);
            }
            2 => {
                self.ask(&format!("revoke {person} --group Target --yes"));
                asked.revoked.insert(who);
            }
            _ => {
                self.ask(&format!("offboard {person} --yes"));
                asked.offboarded.insert(who);
            }
        }
    }

    /// Kills until there were enough, and starts servers again. Answers how many of each.
    async fn kill(&self, soak: Option<u64>) -> (usize, usize) {
        let (mut of_servers, mut of_commands, mut changed) = (0, 0, 0);
        let begun = Instant::now();
        let goes_on = |kills: usize| match soak {
            Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
            None => kills < KILLS,
        };
        while goes_on(of_servers + of_commands) {
            while self.queue.lock().unwrap().len() < QUEUE {
                self.produce(&mut changed);
            }
            let pause = self.random.lock().unwrap().random_range(PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let place = self.random(0..5);
            if place < 2 {
                let server = self.servers.lock().unwrap()[place].take();
                if let Some(server) = server {
                    server.kill();
                    of_servers += 1;
                }
                self.start(place);
                continue;
            }
            let running: Vec<u32> = self.commands.lock().unwrap().keys().copied().collect();
            if running.is_empty() {
                continue;
            }
            let pid = running[self.random(0..running.len())];
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            // It may have ended by itself in this moment.
            let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            of_commands += usize::from(killed.is_ok());
        }
        (of_servers, of_commands)
    }

    /// The next thing to do that `fits`; nothing once all is done and no more comes.
    async fn take(&self, fits: fn(&Work) -> bool) -> Option<Work> {
        loop {
            {
                let mut queue = self.queue.lock().unwrap();
                if let Some(place) = queue.iter().position(fits) {
                    *self.under_way.lock().unwrap() += 1;
                    return queue.remove(place);
                }
                if *self.ending.lock().unwrap() && queue.is_empty() && *self.under_way.lock().unwrap() == 0 {
                    return None;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn done(&self, again: Option<Work>) {
        self.queue.lock().unwrap().extend(again);
        *self.under_way.lock().unwrap() -= 1;
    }

    async fn post(self: Arc<Self>) {
        while let Some(work) = self.take(|work| matches!(work, Work::Post { .. })).await {
            let Work::Post { number, who } = &work else {
                continue;
            };
            let is_taken = match self.address() {
                Some(address) => self.arena.post(&address, batch(*number, who)).await,
                None => false,
            };
            self.done((!is_taken).then_some(work));
        }
    }

    async fn command(self: Arc<Self>) {
        while let Some(work) = self.take(|work| matches!(work, Work::Command { .. })).await {
            let Work::Command { arguments, tries } = work else {
                continue;
            };
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = Command::from(self.arena.command(&words));
            command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            let child = command.spawn().unwrap();
            let pid = child.id().unwrap();
            self.commands.lock().unwrap().insert(pid, ());
            let output = child.wait_with_output().await.unwrap();
            self.commands.lock().unwrap().remove(&pid);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(tries < TRIES, "{words:?} never succeeds: {told}");
            let was_killed = output.status.code().is_none();
            let tries = tries + usize::from(!was_killed);
            self.done((!output.status.success()).then_some(Work::Command { arguments, tries }));
        }
    }
}
