//! Jobs that push: made, kept right, watched, and never telling their secret.

use crate::kit::{Hub, each, everything_stored, start, story};
use chrono::TimeDelta;
use cloudflare::Credential;
use hub::Actor;
use hub::connect::ConnectRequest;
use hub::source::logpush::{Enabled, Outcome, disable, enable, watch};
use hub::source::{SourceError, SourceStatus, status};
use sandbox::{Faults, Sandbox};
use secrecy::ExposeSecret;
use serde_json::Value;
use store::scratch::Scratch;

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

async fn on(hub: &Hub, names: &[&str], url: Option<&str>) -> Result<Vec<Enabled>, SourceError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let connection = hub.connection().await;
    enable(&hub.app, &connection, &names, url, &Actor::CommandLine, &|_| {}).await
}

async fn one(hub: &Hub, name: &str) -> Enabled {
    on(hub, &[name], None).await.unwrap().remove(0)
}

async fn fares(hub: &Hub, dataset: &str) -> SourceStatus {
    let all = status(&hub.app, None).await.unwrap();
    let found = all.into_iter().find(|row| row.dataset == dataset);
    found.unwrap()
}

async fn look(hub: &Hub) {
    hub.clock.advance(TimeDelta::minutes(5));
    hub::source::run(&hub.app).await.unwrap();
}

async fn told(hub: &Hub, kind: &str) -> Vec<String> {
    let rows = hub.app.store.journal_latest(None, None, 1_000).await.unwrap();
    let told = rows.into_iter().filter(|row| row.kind.as_str() == kind);
    told.map(|row| row.summary).collect()
}

#[tokio::test]
async fn every_dataset_gets_one_job_with_all_its_fields_and_the_story_arrives() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        let made = on(&hub, &[], None).await.unwrap();
        assert_eq!(made.len(), 20);
        assert!(made.iter().all(|one| one.outcome == Outcome::Created), "{made:?}");
        let job = world.logpush_jobs("gateway_dns").remove(0);
        assert_eq!(job["enabled"], true);
        assert_eq!(job["name"], "flareward-gateway_dns");
        assert_eq!(job["output_options"]["timestamp_format"], "rfc3339ns");
        assert!(job["output_options"]["field_names"].as_array().unwrap().len() > 40);
        assert_eq!(job["max_upload_interval_seconds"], 30);
        let before = world.requests();
        let again = on(&hub, &[], None).await.unwrap();
        assert!(
            again.iter().all(|one| one.outcome == Outcome::Already),
            "{again:?}"
        );
        for (call, times) in world.requests() {
            let is_read = call.starts_with("GET");
            assert!(
                is_read || before.get(&call) == Some(&times),
                "{call} was made again"
            );
        }
        world.story_play_all().await.unwrap();
        hub.pipeline().await;
        let stored = hub.app.store.batch_counts(None).await.unwrap().accepted;
        let expected: usize = world.story_expected().values().map(|one| one.records).sum();
        assert_eq!(usize::try_from(stored).unwrap(), expected);
        look(&hub).await;
        let dns = fares(&hub, "gateway_dns").await;
        assert_eq!((dns.state.as_str(), dns.is_enabled), ("working", true));
        assert!(dns.last_batch_at.is_some() && dns.lag.is_some());
        assert_eq!(fares(&hub, "ssh_logs").await.state.as_str(), "waiting");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_not_right_is_repaired_and_the_rest_of_it_stays() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        let made = one(&hub, "gateway_http").await;
        world.logpush_field_add("gateway_http", "NewestField");
        world.logpush_disable("gateway_http");
        let repaired = one(&hub, "gateway_http").await;
        assert_eq!(repaired.outcome, Outcome::Changed);
        assert_eq!(repaired.job_id, made.job_id);
        assert_eq!(repaired.changes, ["fields added: NewestField", "enabled"]);
        assert_eq!(one(&hub, "gateway_http").await.outcome, Outcome::Already);
        // The server moved: the job that we remember follows.
        let moved = format!("{}/logs", hub.app.public_url().replace("127.0.0.1", "localhost"));
        let refused = on(&hub, &["gateway_http"], Some(&moved)).await.unwrap().remove(0);
        assert_eq!(refused.outcome, Outcome::Refused);
        let problem = refused.problem.unwrap();
        assert!(
            problem.contains("test upload to") && problem.contains("must be running"),
            "{problem}"
        );
        let moved = hub.app.public_url().replace("127.0.0.1", "localhost");
        let followed = on(&hub, &["gateway_http"], Some(&moved)).await.unwrap().remove(0);
        assert_eq!(
            (followed.outcome, followed.changes),
            (Outcome::Changed, vec!["destination".to_owned()])
        );
        let jobs = world.logpush_jobs("gateway_http");
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0]["name"], "flareward-gateway_http");
        assert_eq!(jobs[0]["max_upload_interval_seconds"], 30);
    })
    .await;
}

#[tokio::test]
async fn a_job_of_somebody_else_is_left_alone() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let other = crate::kit::stand_in(axum::Router::new().route(
            "/ingest/tidewater/gateway_dns",
            axum::routing::post(|| async { "taken" }),
        ))
        .await;
        let connection = hub.connection().await;
        let client = hub.app.client(&connection).unwrap();
        let account = cloudflare::AccountId::parse(&connection.account_id).unwrap();
        let job = cloudflare::NewLogpushJob {
            dataset: "gateway_dns".to_owned(),
            name: "flareward-gateway_dns".to_owned(),
            destination: format!("{other}/ingest/tidewater/gateway_dns").into(),
            fields: vec!["Datetime".to_owned()],
            interval_seconds: 300,
            records_max: 1_000,
            bytes_max: 5_000_000,
        };
        let theirs = client.logpush_job_create(&account, &job).await.unwrap();
        assert_eq!(one(&hub, "gateway_dns").await.outcome, Outcome::Created);
        let jobs = sandbox.world().logpush_jobs("gateway_dns");
        assert_eq!(jobs.len(), 2);
        let kept = jobs.iter().find(|job| job["id"] == theirs.id).unwrap();
        assert_eq!(kept["max_upload_interval_seconds"], 300);
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_the_other_datasets_go_on() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        world.logpush_withhold("casb_findings");
        let lacking = |names: &[&str]| Faults {
            removed_permissions: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Faults::default()
        };
        world.faults_set(lacking(&["Zero Trust: PII Read"]));
        let made = on(&hub, &[], None).await.unwrap();
        let of = |name: &str| made.iter().find(|one| one.dataset == name).unwrap();
        assert_eq!(of("audit_logs_v2").outcome, Outcome::Created);
        assert_eq!(of("casb_findings").outcome, Outcome::NotOffered);
        let problem = of("gateway_dns").problem.as_deref().unwrap();
        assert!(problem.contains("\"Zero Trust: PII Read\""), "{problem}");
        assert_eq!(of("gateway_dns").outcome, Outcome::Refused);
        // Who asks for a dataset by name wants to know that it is not there.
        assert_eq!(one(&hub, "casb_findings").await.outcome, Outcome::Refused);
        world.faults_set(lacking(&["Logs Write"]));
        let error = on(&hub, &["gateway_dns"], None).await.unwrap_err();
        assert!(error.to_string().contains("\"Logs Edit\""), "{error}");
        // Also when the jobs about people cannot be seen any more.
        world.faults_clear();
        one(&hub, "gateway_dns").await;
        world.faults_set(lacking(&["Zero Trust: PII Read"]));
        look(&hub).await;
        let dns = fares(&hub, "gateway_dns").await;
        assert_eq!(dns.state.as_str(), "unreadable");
        assert!(dns.problem.unwrap().contains("PII Read"));
        assert_eq!(fares(&hub, "audit_logs_v2").await.state.as_str(), "waiting");
        world.faults_clear();
        look(&hub).await;
        assert_eq!(fares(&hub, "gateway_dns").await.state.as_str(), "waiting");
        // The job, and the risk events, which take the same permission.
        assert_eq!(told(&hub, "log_source.failing").await.len(), 2);
        assert_eq!(told(&hub, "log_source.recovered").await.len(), 2);
        for (name, url) in [
            ("gateway_smoke", None),
            ("gateway_dns", Some("https://10.0.0.1/")),
        ] {
            let error = on(&hub, &[name], url).await.unwrap_err();
            let words = error.to_string();
            assert!(
                words.contains("available: ") || words.contains("--url"),
                "{words}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_job_that_cloudflare_disabled_is_noticed_and_explained() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        one(&hub, "gateway_dns").await;
        let connection = hub.connection().await;
        let secret = hub.connect(&sandbox).await.ingest_secret;
        let message = format!(
            "error 503: error uploading to https://hub.example/ingest/x?header_X-Flareward-Secret={} full disk",
            secret.expose_secret()
        );
        world.logpush_history_set("gateway_dns", Some(start()), Some((start() + TimeDelta::hours(1), &message)));
        look(&hub).await;
        let failing = fares(&hub, "gateway_dns").await;
        assert_eq!(failing.state.as_str(), "failing");
        assert!(failing.problem.unwrap().contains("full disk"));
        world.logpush_history_set("gateway_dns", Some(start()), Some((start() + TimeDelta::hours(25), &message)));
        world.logpush_disable("gateway_dns");
        look(&hub).await;
        let disabled = fares(&hub, "gateway_dns").await;
        assert_eq!((disabled.state.as_str(), disabled.is_enabled), ("disabled", false));
        let problem = disabled.problem.unwrap();
        for words in ["24 hours", "full disk", "flareward logs enable --connection tidewater"] {
            assert!(problem.contains(words), "{words} is missing: {problem}");
        }
        // Looking again tells nothing new.
        look(&hub).await;
        assert_eq!(told(&hub, "log_source.failing").await.len(), 2);
        assert_eq!(one(&hub, "gateway_dns").await.changes, ["enabled"]);
        world.logpush_history_set("gateway_dns", Some(start() + TimeDelta::hours(26)), None);
        look(&hub).await;
        assert_eq!(fares(&hub, "gateway_dns").await.state.as_str(), "working");
        world.logpush_remove("gateway_dns");
        look(&hub).await;
        assert_eq!(fares(&hub, "gateway_dns").await.state.as_str(), "missing");
        assert_eq!(one(&hub, "gateway_dns").await.outcome, Outcome::Created);
        assert_eq!(watch(&hub.app, &connection).await.unwrap(), 1);
        let stored = everything_stored(&hub).await;
        assert!(!stored.contains(secret.expose_secret()), "the log secret is stored in clear");
    })
    .await;
}

#[tokio::test]
async fn new_fields_excluded_data_and_regions_are_told() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        world.gateway_redacts_set(true);
        let made = one(&hub, "gateway_dns").await;
        assert!(
            made.warnings
                .iter()
                .any(|one| one.contains("exclude personal data")),
            "{made:?}"
        );
        assert!(one(&hub, "ssh_logs").await.warnings.is_empty());
        world.logpush_field_add("gateway_dns", "NewestField");
        world.gateway_redacts_set(false);
        look(&hub).await;
        assert!(
            fares(&hub, "gateway_dns").await.missing_fields.is_empty(),
            "looked at a while ago"
        );
        hub.clock.advance(TimeDelta::hours(24));
        look(&hub).await;
        let dns = fares(&hub, "gateway_dns").await;
        assert_eq!(dns.missing_fields, ["NewestField"]);
        assert!(dns.warnings.is_empty(), "{:?}", dns.warnings);
    })
    .await;
}

#[tokio::test]
async fn a_source_is_switched_off_or_removed_and_no_longer_watched() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        one(&hub, "gateway_dns").await;
        let connection = hub.connection().await;
        let actor = Actor::CommandLine;
        let off = disable(&hub.app, &connection, "gateway_dns", false, &actor)
            .await
            .unwrap();
        assert_eq!(off.outcome, Outcome::Changed);
        assert_eq!(
            world.logpush_jobs("gateway_dns")[0]["enabled"],
            Value::Bool(false)
        );
        look(&hub).await;
        let dns = fares(&hub, "gateway_dns").await;
        assert_eq!((dns.state.as_str(), dns.is_enabled), ("off", false));
        assert!(told(&hub, "log_source.failing").await.is_empty());
        let again = disable(&hub.app, &connection, "gateway_dns", false, &actor)
            .await
            .unwrap();
        assert_eq!(again.outcome, Outcome::Already);
        disable(&hub.app, &connection, "gateway_dns", true, &actor)
            .await
            .unwrap();
        assert!(world.logpush_jobs("gateway_dns").is_empty());
        let error = disable(&hub.app, &connection, "gateway_dns", true, &actor)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no source for gateway_dns"), "{error}");
        let audited = hub.app.store.audit_list(None, 100).await.unwrap();
        let done: Vec<&str> = audited.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(
            done.iter().filter(|action| action.starts_with("logs.")).count(),
            3,
            "{done:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_global_key_makes_jobs_too_and_batches_of_other_jobs_are_shown() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let info = sandbox.info();
        let request = ConnectRequest {
            label: "tidewater".to_owned(),
            account: Some(info.account_id.clone()),
            credential: Credential::global_key(&info.email, &info.api_key),
            base_url: Some(info.base_url.clone()),
        };
        hub::connect::connect(&hub.app, &request, &Actor::CommandLine)
            .await
            .unwrap();
        assert_eq!(one(&hub, "gateway_dns").await.outcome, Outcome::Created);
        let connection = hub.connection().await;
        let body = futures::stream::iter([Ok(bytes::Bytes::from("{\"Datetime\":1}\n"))]);
        hub::ingest::receive(&hub.app, &connection, "ssh_logs", "logpush", body)
            .await
            .unwrap();
        let shown = fares(&hub, "ssh_logs").await;
        assert_eq!(
            (shown.state.as_str(), shown.source.as_str()),
            ("unmanaged", "logpush")
        );
    })
    .await;
}
