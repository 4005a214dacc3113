//! What a command does and what it waits for, once that takes longer than a second: a bar on a terminal, lines on
//! standard error elsewhere.
//!
//! There is one for the whole program, since a person watches one thing. Commands say what they do with [`ProgressBar`];
//! a wait for Cloudflare's rate limit is heard from the client's log ([`Waits`]). Whatever is printed hides the bar
//! first.

use crate::stream;
use crate::visible::visible;
use indicatif::{ProgressBar as Drawn, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer};

/// Commands that finish within this time show no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interval between updates. Chosen: fast enough for a moving bar, with no measurable cost.
const TICK: Duration = Duration::from_millis(100);
/// Interval between two lines about the same work, if there is no bar.
const LINES: Duration = Duration::from_secs(10);

static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

struct Shown {
    /// Shown until the command reports something more specific.
    purpose: &'static str,
    what: String,
    done: u64,
    total: Option<u64>,
    is_bytes: bool,
    /// The reason for a wait, and its end.
    wait: Option<(String, Instant)>,
    /// When output was last printed.
    since: Instant,
    is_paused: bool,
    on_terminal: bool,
    bar: Option<Drawn>,
    said: Option<(String, Instant)>,
}

/// A handle for reporting progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgressBar;

/// Starts the progress display of a command. It shows nothing during the first second.
pub(crate) fn begin(purpose: &'static str) {
    *shown() = Some(Shown {
        purpose,
        what: String::new(),
        done: 0,
        total: None,
        is_bytes: false,
        wait: None,
        since: Instant::now(),
        is_paused: false,
        on_terminal: std::io::stderr().is_terminal(),
        bar: None,
        said: None,
    });
    std::thread::spawn(|| {
        loop {
            std::thread::park_timeout(TICK);
            let line = match &mut *shown() {
                Some(shown) => shown.tick(Instant::now()),
                None => return,
            };
            if let Some(line) = line {
                stream::err(&line);
            }
        }
    });
}

/// Stops the progress display.
pub(crate) fn end() {
    if let Some(mut shown) = shown().take() {
        shown.clear();
    }
}

/// Hides the bar so that output can be printed; it reappears after another second of work.
pub(crate) fn hide() {
    if let Some(shown) = &mut *shown() {
        shown.clear();
        shown.since = Instant::now();
    }
}

/// Pauses the display while the command asks for confirmation.
pub(crate) fn pause(is_paused: bool) {
    hide();
    if let Some(shown) = &mut *shown() {
        shown.is_paused = is_paused;
    }
}

fn shown() -> MutexGuard<'static, Option<Shown>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProgressBar {
    /// Starts work with a total, or with an unknown total.
    pub(crate) fn new(total: Option<u64>, is_bytes: bool) -> Self {
        if let Some(shown) = &mut *shown() {
            shown.what.clear();
            shown.done = 0;
            shown.total = total;
            shown.is_bytes = is_bytes;
        }
        Self
    }

    pub(crate) fn set_message(self, what: impl Into<String>) {
        if let Some(shown) = &mut *shown() {
            shown.what = visible(&what.into()).into_owned();
        }
    }

    pub(crate) fn set_length(self, total: u64) {
        if let Some(shown) = &mut *shown() {
            shown.total = Some(total).filter(|total| *total > 0);
        }
    }

    pub(crate) fn set_position(self, done: u64) {
        if let Some(shown) = &mut *shown() {
            shown.done = done;
        }
    }

    pub(crate) fn inc(self, more: u64) {
        if let Some(shown) = &mut *shown() {
            shown.done += more;
        }
    }

    pub(crate) fn finish_and_clear(self) {
        if let Some(shown) = &mut *shown() {
            shown.what.clear();
            shown.done = 0;
            shown.total = None;
            shown.clear();
        }
    }
}

impl Shown {
    /// Shows the current state: draws it on a terminal, otherwise returns it as a line.
    fn tick(&mut self, now: Instant) -> Option<String> {
        if self.wait.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.wait = None;
        }
        if self.is_paused || now.duration_since(self.since) < PATIENCE {
            return None;
        }
        let what = self.words();
        if self.on_terminal {
            self.draw(what);
            return None;
        }
        let is_news = match &self.said {
            None => true,
            Some((said, at)) => *said != what && now.duration_since(*at) >= PATIENCE,
        };
        let is_old = self
            .said
            .as_ref()
            .is_some_and(|(_, at)| now.duration_since(*at) >= LINES);
        if !is_news && !is_old {
            return None;
        }
        let far = match self.total {
            Some(total) if self.is_bytes => format!(", {} of {} MB", self.done >> 20, total >> 20),
            Some(total) => format!(", {} of {total}", self.done),
            None if self.done > 0 => format!(", {} so far", self.done),
            None => String::new(),
        };
        self.said = Some((what.clone(), now));
        Some(format!("{what}{far}\n"))
    }

    fn words(&self) -> String {
        match (&self.wait, self.what.as_str()) {
            (Some((wait, _)), _) => wait.clone(),
            (None, "") => self.purpose.to_owned(),
            (None, what) => format!("{}: {what}", self.purpose),
        }
    }

    fn draw(&mut self, what: String) {
        let template = match (self.total, self.is_bytes) {
            (Some(_), true) => "{msg} {bar:20} {bytes}/{total_bytes} {elapsed}",
            (Some(_), false) => "{msg} {bar:20} {pos}/{len} {elapsed}",
            (None, _) => "{msg} {spinner} {elapsed}",
        };
        let bar = self.bar.get_or_insert_with(|| Drawn::new(0));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        if let Some(total) = self.total {
            bar.set_length(total);
        }
        bar.set_position(self.done);
        bar.tick();
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Detects waits for Cloudflare's rate limit in the client's log.
pub(crate) struct Waits;

impl<S: tracing::Subscriber> Layer<S> for Waits {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut seconds = Seconds(None);
        event.record(&mut seconds);
        let Some(seconds) = seconds.0 else { return };
        if let Some(shown) = &mut *shown() {
            let words = format!(
                "{}: waiting {seconds} s for Cloudflare's rate limit",
                shown.purpose
            );
            shown.wait = Some((words, Instant::now() + Duration::from_secs(seconds)));
        }
    }
}

/// The log field with the length of the wait.
struct Seconds(Option<u64>);

impl Visit for Seconds {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "wait_s" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(at: Instant) -> Shown {
        Shown {
            purpose: "syncing",
            what: String::new(),
            done: 0,
            total: None,
            is_bytes: false,
            wait: None,
            since: at,
            is_paused: false,
            on_terminal: false,
            bar: None,
            said: None,
        }
    }

    #[test]
    fn work_is_told_of_after_a_second_then_when_it_changes_and_every_ten_seconds() {
        let start = Instant::now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        let mut shown = begun(start);
        shown.what = "members".to_owned();
        assert_eq!(shown.tick(after(900)), None);
        assert_eq!(shown.tick(after(1_100)).unwrap(), "syncing: members\n");
        assert_eq!(shown.tick(after(1_500)), None);
        shown.what = "roles".to_owned();
        (shown.done, shown.total) = (3, Some(9));
        assert_eq!(shown.tick(after(2_200)).unwrap(), "syncing: roles, 3 of 9\n");
        assert_eq!(shown.tick(after(9_000)), None);
        assert_eq!(shown.tick(after(12_300)).unwrap(), "syncing: roles, 3 of 9\n");
    }

    #[test]
    fn a_wait_is_told_of_until_it_is_over_and_nothing_while_a_person_is_asked() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut shown = begun(start);
        shown.wait = Some(("syncing: waiting 30 s".to_owned(), after(30)));
        assert_eq!(shown.tick(after(2)).unwrap(), "syncing: waiting 30 s\n");
        assert_eq!(shown.tick(after(31)).unwrap(), "syncing\n");
        shown.is_paused = true;
        assert_eq!(shown.tick(after(60)), None);
    }
}
