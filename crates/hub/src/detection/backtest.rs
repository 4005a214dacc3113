//! A rule over archived records, before it is switched on: how often it would have fired, for whom, on which days.
//!
//! [`run`] reads the archive and writes nothing; [`ask`] and [`carry_out`] keep a backtest as a row of `operation`. Start
//! reading at [`run`].

use crate::app::App;
use crate::operation;
use crate::permission::Actor;
use crate::record;
use archive::PartError;
use archive::read::Wanted;
use archive::write::PartInfo;
use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use model::{OperationKind, OperationOutcome};
use rules::book::{BookRule, RuleBook};
use rules::detector::{Detector, DetectorScratch, Match};
use rules::firing::fire;
use rules::matches::Groups;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sigma::PartOf;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::available_parallelism;
use store::{OperationRow, PartFilter, StoreError};
use tokio_util::task::AbortOnDropHandle;

/// Matches that are kept while a rule is tried. Chosen: about 1 GB.
const MATCHES_MAX: usize = 5_000_000;
/// People who are named.
const NAMED_MAX: usize = 20;

/// What a rule would have found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Backtest {
    /// Parts of the archive that were read. A backtest that was stored by an earlier version says batches.
    #[serde(alias = "batches")]
    pub parts: usize,
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
    /// Parts that could not be read, with the reason.
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
    detector: Arc<Detector>,
    source: PartOf,
    is_stateful: bool,
    collapse_us: i64,
    matches: u64,
    groups: Groups,
    /// Who, on what, in which stretch of time: the earliest.
    repeats: HashMap<(String, String, i64), DateTime<Utc>>,
    /// Whose each kept record is, and when it happened.
    whose: Vec<(String, DateTime<Utc>)>,
    seen: HashSet<u128>,
}

/// A record that the rule, or one of those that it looks at, matches.
struct Matched {
    id: u128,
    at_us: i64,
    who: String,
    target: String,
    rules: Vec<usize>,
    matches: Vec<Match>,
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

/// Tries `rule` of `book` over the records between two times, on all cores. `progress` is told how many parts of how many
/// are read, and says whether to go on.
///
/// # Errors
///
/// See [`BacktestError`]. A part that cannot be read is named in the answer instead.
pub async fn run(
    app: &App,
    book: &RuleBook,
    rule: &BookRule,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    progress: impl Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Backtest, BacktestError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (found, is_replaced) = read(app, book, rule, since, until, &progress).await?;
        // Parts were replaced meanwhile: counted from the new list, each record counts once.
        if !is_replaced || tries == record::TRIES {
            return Ok(found);
        }
    }
}

/// The backtest, and whether parts were replaced while it ran.
async fn read(
    app: &App,
    book: &RuleBook,
    rule: &BookRule,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    progress: &impl Fn(usize, usize) -> ControlFlow<()>,
) -> Result<(Backtest, bool), BacktestError> {
    let wanted = Wanted {
        since_us: since.timestamp_micros(),
        until_us: until.timestamp_micros(),
        ..Wanted::default()
    };
    let mut parts = Vec::new();
    for dataset in rule.datasets() {
        let filter = PartFilter {
            dataset: Some(dataset.name.to_owned()),
            since_us: Some(wanted.since_us),
            until_us: Some(wanted.until_us),
        };
        parts.extend(app.store.part_list(&filter).await?);
    }
    let mut trial = Trial {
        detector: Arc::new(book.detector_of(rule)),
        source: rule.source,
        is_stateful: rule.is_stateful(),
        collapse_us: super::collapse_us(app),
        matches: 0,
        groups: Groups::default(),
        repeats: HashMap::new(),
        whose: Vec::new(),
        seen: HashSet::new(),
    };
    let (mut backtest, mut is_replaced) = (Backtest::default(), false);
    let all = parts.len();
    let detector = Arc::clone(&trial.detector);
    let mut reads = stream::iter(parts)
        .map(|part| {
            let (app, detector, wanted) = (app.clone(), Arc::clone(&detector), wanted.clone());
            let part = record::part_info(part);
            let read = async move { matched(&app, &detector, &part, &wanted).await };
            AbortOnDropHandle::new(tokio::spawn(read))
        })
        // In order: the first of one record counts, so that the same archive gives the same answer.
        .buffered(available_parallelism().map_or(1, usize::from));
    for done in 0..all {
        if progress(done, all).is_break() {
            return Err(BacktestError::Cancelled);
        }
        match reads.next().await {
            Some(Ok(Ok((events, found)))) => {
                backtest.parts += 1;
                backtest.events += events;
                found.into_iter().for_each(|one| trial.add(one));
            }
            Some(Ok(Err(error))) => {
                is_replaced |= record::is_replaced(app, &error).await?;
                backtest.unread.push(crate::causes(&error));
            }
            Some(Err(_)) | None => return Err(BacktestError::Thread),
        }
        if trial.whose.len() + trial.repeats.len() > MATCHES_MAX {
            return Err(BacktestError::TooMany);
        }
    }
    let _ = progress(all, all);
    trial.conclude(&mut backtest);
    Ok((backtest, is_replaced))
}

/// The number of records of a part, and those that match.
async fn matched(
    app: &App,
    detector: &Detector,
    part: &PartInfo,
    wanted: &Wanted,
) -> Result<(u64, Vec<Matched>), PartError> {
    let mut records = app.archive.parts().records(part, wanted).await?;
    let (mut events, mut all) = (0, Vec::new());
    let mut scratch = DetectorScratch::default();
    while let Some(some) = records.try_next().await? {
        events += some.len() as u64;
        for record in some {
            let looked = detector.look(Some(&part.dataset), record.raw.as_bytes(), None, &mut scratch);
            let found = &mut scratch.found;
            if looked.is_err() || (found.rules.is_empty() && found.matches.is_empty()) {
                continue;
            }
            all.push(Matched {
                id: u128::from_be_bytes(record.id.0),
                at_us: record.at_us,
                who: record.identifier.unwrap_or_default(),
                target: record.target.unwrap_or_default(),
                rules: found.rules.clone(),
                matches: found.matches.drain(..).collect(),
            });
        }
    }
    Ok((events, all))
}

impl Trial {
    fn add(&mut self, one: Matched) {
        // The same record may lie in two parts.
        if !self.seen.insert(one.id) {
            return;
        }
        self.matches += 1;
        let at = record::time(one.at_us);
        if let PartOf::Rule(rule) = self.source
            && !self.is_stateful
            && one.rules.contains(&rule)
        {
            let stretch = one.at_us.div_euclid(self.collapse_us);
            let target = sigma::fold(&one.target).into_owned();
            let first = self
                .repeats
                .entry((one.who.clone(), target, stretch))
                .or_insert(at);
            *first = at.min(*first);
        }
        if one.matches.is_empty() {
            return;
        }
        self.whose.push((one.who, at));
        let at_ns = one.at_us.saturating_mul(1_000);
        for found in one.matches {
            self.groups.add(found, at_ns, self.whose.len() as u64 - 1);
        }
    }

    fn conclude(self, backtest: &mut Backtest) {
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
