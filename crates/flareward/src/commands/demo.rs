//! `flareward demo`: everything at work on a simulated account, in one process and one temporary folder.
//!
//! Nothing here is special to the demo but the other end: the stages, the receiver and the deliveries are those
//! of `flareward serve`, and all traffic is HTTP on this machine.

use super::lists::all_read;
use super::{asked_to_end, serve};
use crate::output::{Format, object};
use anyhow::{Context, bail, ensure};
use cloudflare::Credential;
use hub::coaching::campaign::{self, CampaignRequest};
use hub::connect::{ConnectRequest, connect};
use hub::event::{self, EventFilter};
use hub::integration::NewIntegration;
use hub::settings::Settings;
use hub::source::logpush::{self, Outcome};
use hub::{Actor, App, transmit};
use model::{MessageState, RiskLevel, SignalState};
use sandbox::{Sandbox, SandboxConfig, Sink};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;
use store::ConnectionRow;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Port of the console and the API; 0 selects a free port
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Seed; the same seed generates the same events
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Play all events, wait until they are processed, print a summary and exit
    #[arg(long)]
    once: bool,
}

/// The datasets of the demo events.
const DATASETS: &[&str] = &[
    "gateway_dns",
    "gateway_http",
    "access_requests",
    "audit_logs_v2",
    "warp_toggle_changes",
    "email_security_alerts",
];
const LABEL: &str = "tidewater";
/// Maximum wait until the stages have processed all events.
const QUIET: Duration = Duration::from_secs(120);
/// Time between two new events after the recorded week. Chosen: slow enough to read.
const TRICKLE: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: DemoArgs, format: Format) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("could not create a temporary folder")?;
    let port = if args.once { 0 } else { args.port };
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("cannot listen on port {port}; use --port 0 to select a free port"))?;
    let sandbox = Sandbox::start(SandboxConfig {
        seed: args.seed,
        ..SandboxConfig::default()
    })
    .await?;
    let app = App::open(settings(folder.path(), &listener)?).await?;
    let token = hub::permission::token_first(&app)
        .await?
        .context("a new store has no token")?;
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve::together(app.clone(), listener, stop.clone()));
    let result = play(&args, format, &app, &sandbox, &token).await;
    stop.cancel();
    served.await.context("the server failed")??;
    sandbox.stop().await;
    result
}

async fn play(
    args: &DemoArgs,
    format: Format,
    app: &App,
    sandbox: &Sandbox,
    token: &SecretString,
) -> anyhow::Result<ExitCode> {
    let info = sandbox.info();
    let connection = set_up(app, sandbox).await?;
    if !args.once {
        introduce(format, app, sandbox, token);
    }
    let world = sandbox.world();
    let played = world
        .story_play_all()
        .await
        .context("could not ingest the events")?;
    let quiet = hub::driver::until_quiet(app, QUIET).await?;
    if args.once {
        let summary = summary(app, sandbox, &connection, quiet).await?;
        let whole = summary["missing"].as_array().is_some_and(Vec::is_empty);
        object(format, &summary)?;
        return Ok(if whole {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    tracing::info!(
        "the week of events is complete: {} records; new events keep arriving at {}",
        played.records,
        info.base_url
    );
    world.trickle_start(TRICKLE);
    asked_to_end().await;
    world.trickle_stop();
    Ok(ExitCode::SUCCESS)
}

fn settings(folder: &std::path::Path, listener: &TcpListener) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    settings.data.dir = folder.to_owned();
    settings.server.listen = listener.local_addr()?.to_string();
    // The demo syncs once itself, before anything else happens.
    settings.sync.interval_minutes = 0;
    // All of its logs are pushed.
    settings.logs.pull = false;
    // The simulated world is on this machine.
    settings.egress.allow_http = true;
    settings.egress.allow_loopback = true;
    // The tenant of Cloudflare's published example, so that it can be tried here as it stands.
    settings.egress.okta_hosts.push("example.com".to_owned());
    // So that the commands that the console prints work beside the demo too.
    let file = folder.join("settings.toml");
    let text = "[egress]\nallow_http = true\nallow_loopback = true\nokta_hosts = [\"example.com\"]\n";
    std::fs::write(&file, text).context("cannot write the demo settings")?;
    settings.file = Some(file);
    Ok(settings)
}

/// Sets up what an administrator would set up on the first day, with the same operations.
async fn set_up(app: &App, sandbox: &Sandbox) -> anyhow::Result<ConnectionRow> {
    let info = sandbox.info();
    let actor = Actor::CommandLine;
    let request = ConnectRequest {
        label: LABEL.to_owned(),
        account: Some(info.account_name.clone()),
        credential: Credential::token(&info.token),
        base_url: Some(info.base_url.clone()),
    };
    let connected = connect(app, &request, &actor).await?;
    hub::sync::connection(app, &connected.connection, Default::default(), &|_| {}).await?;
    let new = NewIntegration {
        integration_type: "Okta".to_owned(),
        tenant_url: info.okta_url.clone(),
        reference_id: None,
    };
    let integration = hub::integration::create(app, &info.account_id, &new, &actor).await?;
    register_at_okta(app, &info.okta_url, integration.id.as_str()).await?;
    let campaign = CampaignRequest {
        name: "Everyone, by chat".to_owned(),
        rules: vec!["*".to_owned()],
        channel: "webhook".to_owned(),
        webhook_url: Some(SecretString::from(info.slack_webhook_url.clone())),
        delivery_limit_minutes: 20,
        test_mode: false,
        enabled: true,
    };
    campaign::put(app, None, &campaign, &actor).await?;
    push_logs_here(app, &connected.connection).await?;
    Ok(connected.connection)
}

/// Configures the receiver with the configuration URL, as an Okta administrator does.
async fn register_at_okta(app: &App, okta_url: &str, integration: &str) -> anyhow::Result<()> {
    let url = app
        .egress
        .check_okta(&format!("{okta_url}/api/v1/security-events-providers"))?;
    let body = json!({
        "name": "Flareward", "type": "okta",
        "settings": { "well_known_url": transmit::well_known_url(app, integration) },
    });
    let answer = app.egress.http().post(url).json(&body).send().await?;
    let status = answer.status();
    ensure!(
        status.is_success(),
        "the receiver rejected the configuration URL: {status} {}",
        answer.text().await?
    );
    Ok(())
}

/// Creates the Logpush jobs, as `flareward logs enable` does.
async fn push_logs_here(app: &App, connection: &ConnectionRow) -> anyhow::Result<()> {
    let names: Vec<String> = DATASETS.iter().map(|name| (*name).to_owned()).collect();
    let actor = Actor::CommandLine;
    for one in logpush::enable(app, connection, &names, None, &actor, &|_| {}).await? {
        let problem = one.problem.unwrap_or_default();
        ensure!(
            one.outcome == Outcome::Created,
            "could not create the Logpush job for {}: {problem}",
            one.dataset
        );
    }
    Ok(())
}

fn introduce(format: Format, app: &App, sandbox: &Sandbox, token: &SecretString) {
    let info = sandbox.info();
    let url = app.public_url();
    let token = token.expose_secret();
    if format == Format::Table {
        println!(
            "Flareward is running with a simulated account ({}):",
            info.account_name
        );
        println!();
        println!("    {url}");
        println!();
        println!("Log in with the administrator's token:");
        println!();
        println!("    {token}");
        println!();
        println!(
            "Playing a week of events; new events keep arriving. Press Ctrl-C to stop the demo and \
                 delete its data."
        );
        return;
    }
    let line = json!({
        "url": url, "token": token, "account_id": info.account_id, "label": LABEL,
        "data_dir": app.settings.data.dir, "sandbox": info,
    });
    match format {
        Format::Csv => {
            // What cannot be printed here is not worth ending the demo for.
            let _ = object(format, &line);
        }
        _ => println!("{line}"),
    }
}

/// The results of the demo events, and the expected results that are missing.
async fn summary(
    app: &App,
    sandbox: &Sandbox,
    connection: &ConnectionRow,
    quiet: bool,
) -> anyhow::Result<Value> {
    let world = sandbox.world();
    let mut missing: Vec<String> = Vec::new();
    if !quiet {
        missing.push(format!("the stages did not finish within {} s", QUIET.as_secs()));
    }
    let mut expect = |what: &str, expected: usize, arrived: usize| {
        if expected != arrived {
            missing.push(format!("{what}: {arrived} of {expected}"));
        }
    };
    let (mut events, mut records, mut malformed) = (BTreeMap::new(), 0, 0);
    for (dataset, expected) in world.story_expected() {
        let stored = count_events(app, &dataset).await?;
        expect(&format!("events of {dataset}"), expected.records, stored);
        events.insert(dataset, stored);
        records += stored;
        malformed += expected.malformed_lines;
    }
    let counts = app.store.batch_counts(Some(&connection.id)).await?;
    expect("rejected log lines", malformed, usize::try_from(counts.rejected)?);
    let signals = app
        .store
        .signal_list(None, None, None, store::LIST_LIMIT_MAX)
        .await?;
    let received: Vec<_> = world.received_signals();
    let accepted: HashSet<&str> = received
        .iter()
        .filter(|signal| signal.accepted)
        .map(|signal| signal.jti.as_str())
        .collect();
    let delivered = signals
        .iter()
        .filter(|signal| signal.state == SignalState::Delivered)
        .count();
    expect("signals delivered", signals.len(), delivered);
    expect("signals accepted by the receiver", signals.len(), accepted.len());
    expect("signals received once", received.len(), accepted.len());
    let messages = app
        .store
        .message_list(None, None, Some(MessageState::Delivered), store::LIST_LIMIT_MAX)
        .await?;
    let decided = app
        .store
        .message_list(None, None, None, store::LIST_LIMIT_MAX)
        .await?;
    let in_chat = world
        .received_messages()
        .iter()
        .filter(|got| got.accepted && got.sink == Sink::Slack)
        .count();
    expect("messages in chat", messages.len(), in_chat);
    let failed = decided
        .iter()
        .filter(|message| message.state == MessageState::Failed)
        .count();
    expect("messages that failed", 0, failed);
    let suppressed = decided
        .iter()
        .filter(|message| message.state == MessageState::Suppressed)
        .count();
    let overview = app.store.overview().await?;
    let mut levels: BTreeMap<&str, i64> = RiskLevel::ALL.iter().map(|level| (level.as_str(), 0)).collect();
    for count in app.store.risk_counts().await? {
        levels.insert(count.risk_level.as_str(), count.people);
    }
    let rules: BTreeMap<String, i64> = app
        .store
        .detection_counts()
        .await?
        .into_iter()
        .map(|count| (count.rule_name, count.detections))
        .collect();
    if overview.people_at_risk == 0 {
        bail!("the demo events did not change any risk level");
    }
    Ok(json!({
        "people": overview.people,
        "grants": hub::sync::grant_total(app).await?,
        "events": { "stored": records, "by_dataset": events, "deliveries": counts.deliveries,
            "duplicates": counts.duplicates, "rejected": counts.rejected },
        "detections": { "total": overview.detections, "by_rule": rules },
        "risk_levels": levels,
        "people_at_changed_level": overview.people_at_risk,
        "messages": { "delivered": messages.len(), "suppressed": suppressed, "failed": failed },
        "signals": { "delivered": delivered, "accepted_by_receiver": accepted.len() },
        "unmapped_identifiers": overview.unmapped_identifiers,
        "missing": missing,
    }))
}

async fn count_events(app: &App, dataset: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut filter = EventFilter {
        dataset: Some(dataset.to_owned()),
        limit: event::EVENTS_MAX,
        ..EventFilter::default()
    };
    loop {
        let page = event::find(app, &filter).await?;
        all_read(page.unread)?;
        count += page.events.len();
        match page.next {
            Some(next) => filter.before = Some(next),
            None => return Ok(count),
        }
    }
}
