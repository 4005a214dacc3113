//! A rule over archived records, before it is switched on: how often it would have fired, for whom, on which days.
//!
//! [`run`] reads the archive and writes nothing; [`ask`] and [`carry_out`] keep a backtest as a row of `operation`. Start
//! reading at [`run`].

use crate::app::App;
use crate::archive::ArchiveError;
use crate::operation;
use crate::permission::Actor;
use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use model::{EventId, OperationKind, OperationOutcome};
use rules::book::{BookRule, RuleBook};
use rules::detector::{Detector, DetectorScratch};
use rules::firing::fire;
use rules::form::{Former, second_look};
use rules::lines::Lines;
use rules::matches::Groups;
use rules::normalise::{id_in_batch, normalise};
use rules::recognise::keys_of_line;
use rules::{Dataset, has_field};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sigma::PartOf;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use store::{BatchRow, OperationRow, StoreError};
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Matches that are kept while a rule is tried. Chosen: about 1 GB.
const MATCHES_MAX: usize = 5_000_000;
/// People who are named.
const NAMED_MAX: usize = 20;

/// What a rule would have found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Backtest {
    /// Batches that were read.
    pub batches: usize,
    /// Records in the stretch of time.
    pub events: u64,
    /// Records that the rule, or those that it looks at, match.
    pub matches: u64,
    /// Detections: repeats of one person and target are one.
    pub detections: u64,
    /// People, or identifiers that nobody owns.
    pub people: usize,
    /// Detections and people of each day (UTC).
    pub days: BTreeMap<NaiveDate, BacktestDay>,
    /// Those with most detections, at most 20.
    pub most: Vec<(String, u64)>,
    /// Batches that could not be read, with the reason.
    pub unread: Vec<String>,
}

/// One day of a backtest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BacktestDay {
    /// Detections.
    pub detections: u64,
    /// People.
    pub people: usize,
}

/// Why a rule cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rule matches far too much.
    #[error("the rule matches more than {MATCHES_MAX} records; narrow the rule, or use a shorter time range")]
    TooMany,
    /// The rule was removed after the backtest was asked for.
    #[error("the rule no longer exists")]
    Rule,
    /// A thread ended.
    #[error("the backtest ended unexpectedly")]
    Thread,
    /// The time ends before it begins.
    #[error("\"since\" must be before \"until\"")]
    Time,
    /// Someone cancelled it.
    #[error("the backtest was cancelled")]
    Cancelled,
}

/// A backtest to carry out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BacktestRequest {
    /// The rule's id.
    pub rule: String,
    /// The rule's name when the backtest was requested.
    pub name: String,
    /// Its records from this time on.
    pub since: DateTime<Utc>,
    /// Before this time.
    pub until: DateTime<Utc>,
}

struct Trial {
    detector: Detector,
    source: PartOf,
    is_stateful: bool,
    collapse_us: i64,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
    events: u64,
    matches: u64,
    groups: Groups,
    /// Who, on what, in which stretch of time: the earliest.
    repeats: HashMap<(String, String, i64), DateTime<Utc>>,
    /// Whose each kept record is, and when it happened.
    whose: Vec<(String, DateTime<Utc>)>,
    seen: HashSet<u128>,
}

/// Asks for a backtest, which a stage carries out. Answers the one that waits or runs already, if it is the same. With
/// `until` left out it ends now.
///
/// # Errors
///
/// See [`BacktestError`].
pub async fn ask(
    app: &App,
    rule: &BookRule,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    actor: &Actor,
) -> Result<OperationRow, BacktestError> {
    let request = BacktestRequest {
        rule: rule.id.clone(),
        name: rule.name.clone(),
        since,
        until: until.unwrap_or_else(|| app.clock.now()),
    };
    if since >= request.until {
        return Err(BacktestError::Time);
    }
    let written = until.map_or_else(|| "now".to_owned(), |at| at.to_rfc3339());
    let same = format!("{} from {} to {written}", rule.name, since.to_rfc3339());
    Ok(operation::ask(app, OperationKind::Backtest, same, &request, actor).await?)
}

/// Carries out the oldest backtest that was asked for. Answers whether there was one.
///
/// # Errors
///
/// When the store refuses. What fails otherwise is kept with the operation.
pub async fn carry_out(app: &App) -> Result<bool, StoreError> {
    let Some(row) = app
        .store
        .operation_open(OperationKind::Backtest)
        .await?
        .into_iter()
        .next()
    else {
        return Ok(false);
    };
    let ended = match row.cancelled_by {
        Some(_) => Err(BacktestError::Cancelled),
        None => watched(app, &row).await,
    };
    let (outcome, result, problem) = match ended {
        Ok(found) => (OperationOutcome::Done, Some(json!(found).to_string()), None),
        Err(BacktestError::Cancelled) => (OperationOutcome::Cancelled, None, None),
        Err(BacktestError::Store(error)) => return Err(error),
        Err(error) => (OperationOutcome::Failed, None, Some(crate::causes(&error))),
    };
    operation::finish(app, &row.id, outcome, result, problem).await?;
    Ok(true)
}

async fn watched(app: &App, row: &OperationRow) -> Result<Backtest, BacktestError> {
    let request: BacktestRequest = store::stored("operation", &row.id, "request", &row.request)?;
    let book = app.rules();
    let rule = book.rule(&request.rule).ok_or(BacktestError::Rule)?;
    let watch = operation::Watch::default();
    let work = run(app, &book, rule, request.since, request.until, |now, all| {
        watch.show(now, all);
        if watch.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    watch.over(app, &row.id, work).await
}

/// Tries `rule` of `book` over the records between two times. `progress` is told how many batches of how many
/// are read, and says whether to go on.
///
/// # Errors
///
/// See [`BacktestError`]. A batch that cannot be read is named in the answer instead.
pub async fn run(
    app: &App,
    book: &RuleBook,
    rule: &BookRule,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    progress: impl Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Backtest, BacktestError> {
    let datasets: Vec<String> = rule
        .datasets()
        .iter()
        .map(|dataset| dataset.name.to_owned())
        .collect();
    let batches = app.store.batch_between(since, &datasets).await?;
    let mut trial = Trial {
        detector: book.detector_of(rule),
        source: rule.source,
        is_stateful: rule.is_stateful(),
        collapse_us: i64::from(app.settings.detection.collapse_minutes.max(1)) * 60_000_000,
        since,
        until,
        now: app.clock.now(),
        events: 0,
        matches: 0,
        groups: Groups::default(),
        repeats: HashMap::new(),
        whose: Vec::new(),
        seen: HashSet::new(),
    };
    let mut backtest = Backtest::default();
    let all = batches.len();
    for (place, batch) in batches.into_iter().enumerate() {
        if progress(place, all).is_break() {
            return Err(BacktestError::Cancelled);
        }
        let label = batch.path.clone();
        let reader = match app.archive.read(&batch.path).await {
            Ok(object) => SyncIoBridge::new(StreamReader::new(object.map_err(std::io::Error::other))),
            Err(error) => {
                backtest.unread.push(unread(&label, &error));
                continue;
            }
        };
        let (back, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = trial.batch(&batch, Box::new(reader));
            (trial, outcome)
        })
        .await
        .map_err(|_| BacktestError::Thread)?;
        trial = back;
        backtest.batches += 1;
        if let Err(error) = outcome {
            backtest.unread.push(format!("{label}: {error}"));
        }
        if trial.whose.len() + trial.repeats.len() > MATCHES_MAX {
            return Err(BacktestError::TooMany);
        }
    }
    let _ = progress(all, all);
    trial.conclude(&mut backtest);
    Ok(backtest)
}

fn has_any_field(line: &[u8], dataset: &Dataset) -> bool {
    let keys = keys_of_line(line).unwrap_or_default();
    keys.iter().any(|key| has_field(dataset.name, key))
}

fn unread(label: &str, error: &ArchiveError) -> String {
    format!("{label}: {}", crate::causes(error))
}

impl Trial {
    fn batch(&mut self, batch: &BatchRow, reader: Box<dyn std::io::Read + Send>) -> std::io::Result<()> {
        let Some(dataset) = Dataset::named(&batch.dataset) else {
            return Err(std::io::Error::other("this version does not support the dataset"));
        };
        let mut lines = Lines::new(reader)?;
        let mut scratch = DetectorScratch::default();
        let mut former = Former::default();
        let mut formed = Vec::new();
        let mut alike = HashMap::new();
        let mut is_over = false;
        while !is_over {
            match lines.next_line()? {
                Some((number, Some(line))) => former.take(number, line, &mut formed),
                Some((_, None)) => {}
                None => {
                    former.end(&mut formed);
                    is_over = true;
                }
            }
            for line in formed.drain(..).filter_map(|one| one.line.ok()) {
                if self.record(batch, dataset, &line, &mut scratch, &mut alike) {
                    continue;
                }
                // What is no record as it stands was taken in as those that it holds.
                for record in second_look(&line, Some(dataset)).unwrap_or_default() {
                    self.record(batch, dataset, record.text.as_bytes(), &mut scratch, &mut alike);
                }
            }
        }
        Ok(())
    }

    /// Looks at one record; answers whether it is one.
    fn record(
        &mut self,
        batch: &BatchRow,
        dataset: &Dataset,
        line: &[u8],
        scratch: &mut DetectorScratch,
        alike: &mut HashMap<EventId, u32>,
    ) -> bool {
        let name = Some(dataset.name);
        if self.detector.look(name, line, None, scratch).is_err() {
            return false;
        }
        let found = &mut scratch.found;
        if found.rules.is_empty() {
            // Only what has an object inside may be an envelope.
            let is_nested = memchr::memchr(b'{', line.get(1..).unwrap_or_default()).is_some();
            if is_nested && !has_any_field(line, dataset) {
                return false;
            }
            self.events += 1;
            return true;
        }
        // Only what matches is normalised: that is slow, and few do.
        let Some(record) = std::str::from_utf8(line)
            .ok()
            .and_then(|text| normalise(text, dataset, &batch.connection_id, self.now).ok())
        else {
            return false;
        };
        self.events += 1;
        if record.at < self.since || record.at >= self.until {
            return true;
        }
        let id = if record.is_keyed || batch.source == "pull" {
            record.id.clone()
        } else {
            let occurrence = alike.entry(record.id.clone()).or_default();
            *occurrence += 1;
            id_in_batch(&record.id, &batch.id, *occurrence - 1)
        };
        let id = u128::from_str_radix(&id.0, 16).unwrap_or_default();
        // The same record may lie in two batches.
        if !self.seen.insert(id) {
            return true;
        }
        self.matches += 1;
        let who = record.identifier.unwrap_or_default();
        if let PartOf::Rule(rule) = self.source
            && !self.is_stateful
            && found.rules.contains(&rule)
        {
            let stretch = record.at.timestamp_micros().div_euclid(self.collapse_us);
            let target = sigma::fold(&record.target.unwrap_or_default()).into_owned();
            let key = (who.clone(), target, stretch);
            let first = self.repeats.entry(key).or_insert(record.at);
            *first = record.at.min(*first);
        }
        let at_ns = record.at.timestamp_nanos_opt().unwrap_or_default();
        if !found.matches.is_empty() {
            self.whose.push((who, record.at));
        }
        for one in found.matches.drain(..) {
            self.groups.add(one, at_ns, self.whose.len() as u64 - 1);
        }
        true
    }

    fn conclude(self, backtest: &mut Backtest) {
        backtest.events = self.events;
        backtest.matches = self.matches;
        let mut found: Vec<(String, DateTime<Utc>)> = self
            .repeats
            .into_iter()
            .map(|((who, ..), at)| (who, at))
            .collect();
        let whose = &self.whose;
        found.extend(
            fire(&self.detector.watches, self.groups)
                .into_iter()
                .filter(|firing| firing.reports == self.source)
                .filter_map(|firing| whose.get(usize::try_from(firing.id).ok()?).cloned()),
        );
        let mut people: BTreeMap<String, u64> = BTreeMap::new();
        let mut days: BTreeMap<NaiveDate, HashSet<String>> = BTreeMap::new();
        for (who, at) in found {
            let day = at.date_naive();
            backtest.detections += 1;
            backtest.days.entry(day).or_default().detections += 1;
            if !who.is_empty() {
                days.entry(day).or_default().insert(who.clone());
                *people.entry(who).or_default() += 1;
            }
        }
        for (day, people) in days {
            backtest.days.entry(day).or_default().people = people.len();
        }
        backtest.people = people.len();
        let mut most: Vec<(String, u64)> = people.into_iter().collect();
        most.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        most.truncate(NAMED_MAX);
        backtest.most = most;
    }
}
