//! Access data of a very large account: one answer, and pages of lists, on each database.

use anyhow::Context;
use cloudflare::Credential;
use hub::access::explain::{Entitlement, explain};
use hub::access::grant::GrantCursor;
use hub::access::{AccessView, GrantFilter};
use hub::connect::{ConnectRequest, connect};
use hub::settings::Settings;
use hub::{Actor, App};
use model::GrantKind;
use sandbox::{Sandbox, SandboxConfig};
use std::time::{Duration, Instant};
use store::{LIST_LIMIT_MAX, PersonFilter, PersonRow};

const MEMBERS: usize = 25_000;
const ACCESS_USERS: usize = 40_000;
const GROUPS: usize = 2_000;
const RULES: usize = 100;
/// The number of repetitions of each measurement.
const TIMES: usize = 200;
const PAGE: usize = 100;

/// The durations of one operation over many repetitions.
pub(crate) struct Latency {
    pub(crate) what: String,
    mean: Duration,
    p95: Duration,
}

impl Latency {
    fn of(what: &str, mut took: Vec<Duration>) -> Self {
        took.sort();
        Self {
            what: what.to_owned(),
            mean: took.iter().sum::<Duration>() / u32::try_from(took.len()).unwrap_or(1).max(1),
            p95: took[took.len() * 95 / 100],
        }
    }
}

pub(crate) fn print(title: &str, latencies: &[Latency]) {
    crate::say(&format!("\n{title}"));
    let baseline = latencies.first().map_or(1.0, |first| first.mean.as_secs_f64());
    for one in latencies {
        crate::say(&format!(
            "  {:<62} {:>9.2} ms mean {:>9.2} ms p95 {:>8.2} x the baseline",
            one.what,
            one.mean.as_secs_f64() * 1e3,
            one.p95.as_secs_f64() * 1e3,
            one.mean.as_secs_f64() / baseline
        ));
    }
}

pub(crate) async fn measure() -> anyhow::Result<Vec<(String, Vec<Latency>)>> {
    let mut all = Vec::new();
    for scratch in store::scratch::stores().await? {
        // A sandbox each: its rate limit is counted by credential.
        let sandbox = Sandbox::start(SandboxConfig {
            members: MEMBERS,
            access_users: ACCESS_USERS,
            groups: GROUPS,
            rules_per_group: Some(RULES),
            roles: 30,
            story: false,
            ..SandboxConfig::default()
        })
        .await?;
        let info = sandbox.info().clone();
        let folder = tempfile::tempdir()?;
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
        settings.store.url.clone_from(&scratch.address);
        let app = App::open(settings).await?;
        let request = ConnectRequest {
            label: "bench".to_owned(),
            account: Some(info.account_id.clone()),
            credential: Credential::token(&info.token),
            base_url: Some(info.base_url.clone()),
        };
        let connected = connect(&app, &request, &Actor::CommandLine).await?;
        let begun = Instant::now();
        let report = hub::sync::connection(&app, &connected.connection, Default::default(), &|_| {}).await?;
        anyhow::ensure!(report.outcome.as_str() == "complete", "{:?}", report.problems);
        sandbox.stop().await;
        let people = app.store.person_count().await?;
        let title = format!(
            "{}: {people} people, {GROUPS} groups of {RULES} rules, {} grants; synced in {:.0} s with {} requests \
             (baseline: a page of people by SQL)",
            app.store.engine_name(),
            hub::sync::grant_total(&app).await?,
            begun.elapsed().as_secs_f64(),
            report.requests
        );
        all.push((title, latencies(&app).await?));
    }
    Ok(all)
}

async fn latencies(app: &App) -> anyhow::Result<Vec<Latency>> {
    let sample = sample(app).await?;
    let mut figures = Vec::new();

    let mut took = Vec::new();
    for person in &sample {
        let filter = PersonFilter {
            after_email: Some(person.email.clone()),
            limit: PAGE as i64,
            ..PersonFilter::default()
        };
        let begun = Instant::now();
        app.store.person_list(&filter).await?;
        took.push(begun.elapsed());
    }
    figures.push(Latency::of("a page of 100 people", took));

    let groups = app.store.access_group_list(None, None, LIST_LIMIT_MAX).await?;
    let connection = app
        .store
        .connection_list()
        .await?
        .pop()
        .context("one is connected")?;
    let mut took = Vec::new();
    for (person, group) in sample.iter().zip(groups.iter().cycle().step_by(7)) {
        let entitlement = Entitlement {
            connection: connection.clone(),
            kind: GrantKind::AccessGroup,
            id: group.id.clone(),
            name: group.name.clone(),
        };
        let begun = Instant::now();
        explain(app, person, &entitlement).await?;
        took.push(begun.elapsed());
    }
    figures.push(Latency::of("explain one person and one group", took));

    let begun = Instant::now();
    AccessView::current(app).await?;
    figures.push(Latency::of(
        "the first list after a change: rules and people are read",
        vec![begun.elapsed()],
    ));
    let after = |person: &PersonRow| {
        Some(GrantCursor {
            email: person.email.clone(),
            connection: String::new(),
            kind: String::new(),
            entitlement: String::new(),
            scope: String::new(),
        })
    };
    for (what, filter) in [
        ("a page of 100 grants", GrantFilter::default()),
        (
            "a page of 100 grants of one group",
            GrantFilter {
                entitlement_id: Some(groups[groups.len() / 2].id.clone()),
                ..GrantFilter::default()
            },
        ),
    ] {
        let mut took = Vec::new();
        for person in &sample {
            let filter = GrantFilter {
                after: after(person),
                ..filter.clone()
            };
            let begun = Instant::now();
            AccessView::current(app).await?.grant_page(&filter, PAGE);
            took.push(begun.elapsed());
        }
        figures.push(Latency::of(what, took));
    }
    let mut took = Vec::new();
    for person in &sample {
        let filter = GrantFilter {
            person_id: Some(person.id.clone()),
            ..GrantFilter::default()
        };
        let begun = Instant::now();
        AccessView::current(app).await?.grant_page(&filter, PAGE);
        took.push(begun.elapsed());
    }
    figures.push(Latency::of("100 grants of one person", took));

    let mut took = Vec::new();
    let mut place: Option<(String, String)> = None;
    for _ in 0..TIMES {
        let after = place
            .as_ref()
            .map(|(connection, id)| (connection.as_str(), id.as_str()));
        let begun = Instant::now();
        let page = app.store.member_list(None, after, PAGE as i64).await?;
        took.push(begun.elapsed());
        place = page
            .last()
            .map(|row| (row.connection_id.0.clone(), row.id.clone()));
    }
    figures.push(Latency::of("a page of 100 members", took));
    Ok(figures)
}

/// People from all parts of the list.
async fn sample(app: &App) -> anyhow::Result<Vec<PersonRow>> {
    let mut all = Vec::new();
    let mut filter = PersonFilter {
        limit: LIST_LIMIT_MAX,
        ..PersonFilter::default()
    };
    loop {
        let page = app.store.person_list(&filter).await?;
        let Some(last) = page.last() else { break };
        filter.after_email = Some(last.email.clone());
        all.extend(page);
    }
    let step = (all.len() / TIMES).max(1);
    Ok(all.into_iter().step_by(step).take(TIMES).collect())
}
