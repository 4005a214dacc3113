//! A sync of a large account against the simulated account.

use crate::Figure;
use anyhow::Context;
use cloudflare::Credential;
use hub::connect::{ConnectRequest, connect};
use hub::settings::Settings;
use hub::{Actor, App};
use sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use std::time::Instant;

const MEMBERS: usize = 2_000;
const ACCESS_USERS: usize = 5_000;
const GROUPS: usize = 200;

pub(crate) async fn sync() -> anyhow::Result<Vec<Figure>> {
    let config = SandboxConfig {
        members: MEMBERS,
        access_users: ACCESS_USERS,
        groups: GROUPS,
        roles: 30,
        story: false,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await?;
    let info = sandbox.info().clone();
    let http = reqwest::Client::builder().no_proxy().build()?;

    let begun = Instant::now();
    let mut things = 0;
    let account = format!("{}/accounts/{}", info.base_url, info.account_id);
    for (path, per_page) in [
        ("members", 50),
        ("roles", 50),
        ("access/users", 1_000),
        ("access/groups", 1_000),
    ] {
        for page in 1.. {
            let url = format!("{account}/{path}?page={page}&per_page={per_page}");
            let answer: Value = http
                .get(url)
                .bearer_auth(&info.token)
                .send()
                .await?
                .json()
                .await?;
            let items = answer["result"].as_array().context("no list")?.len();
            things += items;
            if items < per_page {
                break;
            }
        }
    }
    let floor = Figure::of(
        "the pages, read one by one and thrown away",
        "things/s",
        things,
        begun,
    );

    let folder = tempfile::tempdir()?;
    let mut settings = Settings::default();
    settings.data.dir = folder.path().to_owned();
    settings.egress.allow_http = true;
    settings.egress.allow_loopback = true;
    let app = App::open(settings).await?;
    let request = ConnectRequest {
        label: "bench".to_owned(),
        account: Some(info.account_id.clone()),
        credential: Credential::token(&info.token),
        base_url: Some(info.base_url.clone()),
    };
    let connected = connect(&app, &request, &Actor::CommandLine).await?;
    let mut figures = vec![floor];
    for what in [
        "sync: first, people and grants worked out",
        "sync: again, nothing changed",
    ] {
        let begun = Instant::now();
        let report = hub::sync::connection(&app, &connected.connection, Default::default(), &|_| {}).await?;
        anyhow::ensure!(report.outcome.as_str() == "complete", "{:?}", report.problems);
        let what = format!(
            "{what} ({} requests, {:.2} s)",
            report.requests,
            begun.elapsed().as_secs_f64()
        );
        figures.push(Figure::of(&what, "things/s", things, begun));
    }
    sandbox.stop().await;
    Ok(figures)
}
