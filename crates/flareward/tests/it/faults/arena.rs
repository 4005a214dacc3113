//! A store, a simulated account with many people, a receiver, a chat, and the programs that work on them.

use crate::program::{Server, connect, flareward};
use flate2::{Compression, write::GzEncoder};
use hub::coaching::campaign::{self, CampaignRequest};
use hub::integration::{self, NewIntegration};
use hub::settings::Settings;
use hub::{Actor, App};
use sandbox::{Sandbox, SandboxConfig, Seats};
use secrecy::SecretString;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use store::scratch::Scratch;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Records of one batch, of which every tenth is a look-up of a phishing domain.
pub(super) const RECORDS: usize = 30;
pub(super) const PHISHING: usize = 3;
const RECEIVE_SECONDS: u64 = 3;
/// Three matches of one batch make one detection of this.
const TOGETHER: &str = "title: Named\nname: named\nlogsource: {service: gateway_dns}\n\
    detection: {a: {QueryCategoryIDs: 131}, condition: a}\n---\ntitle: Together\nname: together\n\
    correlation: {type: value_count, rules: [named], group-by: [person, Location], timespan: 1h, \
    condition: {field: QueryName, gte: 3}}\n";

pub(super) struct Arena {
    pub(super) folder: TempDir,
    pub(super) scratch: Scratch,
    pub(super) sandbox: Sandbox,
    /// Looks at the store and answers for the keys of signals; it runs no stage.
    pub(super) app: App,
    pub(super) http: reqwest::Client,
    secret: String,
    stop: CancellationToken,
}

pub(super) fn email(who: &str) -> String {
    format!("{who}@tidewater.example")
}

impl Arena {
    /// With these people, who are members and Access users, and whom the group Target names.
    pub(super) async fn new(scratch: Scratch, people: &[String]) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
        let world = sandbox.world();
        let mut include = vec![json!({ "email": { "email": email("alex.reid") } })];
        for who in people {
            world.member_add(&email(who), &["Administrator Read Only"], true);
            world.access_user_add(&email(who), "One Of Many");
            let seats = Seats {
                access: true,
                gateway: true,
            };
            world.access_user_seats_set(&email(who), seats);
            include.push(json!({ "email": { "email": email(who) } }));
        }
        world.access_group_put("Target", json!(include), json!([]), json!([]));

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("rules/together.yml"), TOGETHER).unwrap();
        let connected = connect(folder.path(), &scratch.address, &sandbox);
        let secret = connected["ingest_secret"].as_str().unwrap().to_owned();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        settings.store.url.clone_from(&scratch.address);
        settings.egress.allow_http = true;
        settings.egress.allow_loopback = true;
        settings.ingest.receive_limit_seconds = RECEIVE_SECONDS;
        settings.server.public_url = format!("http://{}", listener.local_addr().unwrap());
        let app = App::open(settings).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(app.clone(), listener, stop.clone()));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let arena = Self {
            folder,
            scratch,
            sandbox,
            app,
            http,
            secret,
            stop,
        };
        let (succeeded, told) = arena.run(&["sync"]);
        assert!(succeeded, "{told}");
        arena.integrate().await;
        arena
    }

    /// A receiver of signals and a chat.
    async fn integrate(&self) {
        let info = self.sandbox.info();
        let new = NewIntegration {
            integration_type: "Okta".to_owned(),
            tenant_url: info.okta_url.clone(),
            reference_id: None,
        };
        let row = integration::create(&self.app, &info.account_id, &new, &Actor::CommandLine)
            .await
            .unwrap();
        let well_known = hub::transmit::well_known_url(&self.app, row.id.as_str());
        let body =
            json!({ "name": row.id, "type": "flareward", "settings": { "well_known_url": well_known } });
        let url = format!("{}/api/v1/security-events-providers", info.okta_url);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let request = CampaignRequest {
            name: "chat".to_owned(),
            rules: vec!["*".to_owned()],
            channel: "webhook".to_owned(),
            webhook_url: Some(SecretString::from(info.slack_webhook_url.as_str())),
            delivery_limit_minutes: 0,
            test_mode: false,
            enabled: true,
        };
        campaign::put(&self.app, None, &request, &Actor::CommandLine)
            .await
            .unwrap();
    }

    pub(super) fn engine(&self) -> &'static str {
        self.scratch.store.engine_name()
    }

    /// The program on this store.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = flareward(self.folder.path(), &self.scratch.address);
        command
            .args(arguments)
            .env("FLAREWARD_SERVER_PUBLIC_URL", self.app.public_url())
            .env("FLAREWARD_PROVISIONING_SECOND_LOOK_MS", "50")
            // What a receive has left that was cut off is judged after twice that.
            .env(
                "FLAREWARD_INGEST_RECEIVE_LIMIT_SECONDS",
                RECEIVE_SECONDS.to_string(),
            );
        command
    }

    /// Runs the program to its end: whether it succeeded, and what it said.
    pub(super) fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    pub(super) fn server(&self) -> Server {
        Server::of(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }

    /// Sends a batch as Logpush does. Whether it was answered that it was taken.
    pub(super) async fn post(&self, address: &str, body: Vec<u8>) -> bool {
        let request = self
            .http
            .post(format!("{address}/ingest/corp/gateway_dns"))
            .header("x-flareward-secret", &self.secret)
            .body(body);
        request
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    }

    /// The same batch as a file.
    pub(super) fn file(&self, number: usize, who: &str) -> PathBuf {
        let path = self.folder.path().join(format!("batch-{number}.ndjson.gz"));
        std::fs::write(&path, batch(number, who)).unwrap();
        path
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.sandbox.stop().await;
    }
}

/// A batch of one person's records, packed.
pub(super) fn batch(number: usize, who: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for record in 0..RECORDS {
        let category = if record % (RECORDS / PHISHING) == 0 {
            131
        } else {
            26
        };
        writeln!(
            encoder,
            r#"{{"Datetime":"2026-01-05T10:00:00Z","QueryID":"q-{number}-{record}","QueryName":"n{record}.b{number}.example","Location":"{number}","Email":"{}","QueryCategoryIDs":[{category}]}}"#,
            email(who)
        )
        .unwrap();
    }
    encoder.finish().unwrap()
}

/// The files below a folder.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}
