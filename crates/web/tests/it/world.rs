//! A small organisation behind a router: one account, two people, some events and what follows from them.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use hub::settings::Settings;
use hub::{Actor, App, Permission, coaching::campaign, integration, permission, rule_admin, secret};
use model::{ConnectionId, CredentialKind, GrantKind, PersonId, SeededIds, StoppedClock};
use rules::book::RuleMode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{
    AccessChangeRow, AccessGroupSeen, AccessUserSeen, MemberSeen, NewConnection, PersonSeen, ProbeRow,
    RoleSeen, SyncRunRow, TimedGrantRow,
};
use tower::ServiceExt;

pub(crate) const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// A rule of the organisation's own.
pub(crate) const RULE: &str = "
title: Lookups of our nodes
name: our-nodes
id: 9d1c2f0e-7a7b-4b55-9b5e-4f1f0a2f7c11
logsource: {service: gateway_dns}
detection:
  node: {QueryName|endswith: .sync-node.test}
  condition: node
";
pub(crate) const LOG_SECRET: &str = "fwlog_of-the-tests";

/// The router and what is behind it.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) token: String,
    folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

async fn connect(app: &App, id: &str, label: &str, log_secret: &str) {
    let connection = NewConnection {
        id: ConnectionId(id.to_owned()),
        label: label.to_owned(),
        account_id: ACCOUNT.to_owned(),
        account_name: "Corp".to_owned(),
        base_url: "https://api.cloudflare.com/client/v4".to_owned(),
        credential_kind: CredentialKind::UserToken,
        credential_email: None,
        credential_sealed: vec![1],
        credential_fingerprint: "c0ffee00".to_owned(),
        ingest_secret_sealed: vec![2],
        ingest_secret_hash: secret::digest(log_secret),
        created_at: noon(),
    };
    app.store.connection_insert(&connection).await.unwrap();
}

impl World {
    /// One connection and a token that may do everything.
    pub(crate) async fn new() -> World {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> World {
        Self::open(change, Arc::new(StoppedClock::at(noon()))).await
    }

    /// The same with a clock that the test turns.
    pub(crate) async fn with_clock(clock: Arc<StoppedClock>) -> World {
        Self::open(|_| {}, clock).await
    }

    /// The same with other settings as well.
    pub(crate) async fn open(change: impl FnOnce(&mut Settings), clock: Arc<StoppedClock>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.data.dir = folder.path().to_owned();
        settings.server.public_url = "https://hub.corp.example".to_owned();
        change(&mut settings);
        let app = App::open_with(settings, clock, Arc::new(SeededIds::new(1)))
            .await
            .unwrap();
        connect(&app, "c1", "production", LOG_SECRET).await;
        let (_, token) = permission::token_create(&app, "tests", &Permission::ALL)
            .await
            .unwrap();
        World {
            app,
            token: token.expose_secret().to_owned(),
            folder,
        }
    }

    /// One more connection.
    pub(crate) async fn connect(&self, label: &str, log_secret: &str) {
        connect(&self.app, label, label, log_secret).await;
    }

    /// Something of everything that can be listed.
    pub(crate) async fn lived_in() -> World {
        let world = World::new().await;
        let (app, actor) = (&world.app, Actor::System);
        let (store, connection) = (&app.store, ConnectionId("c1".to_owned()));
        let seen = |id: &str, email: &str| PersonSeen {
            new_id: PersonId(id.to_owned()),
            email: email.to_owned(),
            name: Some("Ana Silva".to_owned()),
        };
        let people = [seen("p1", "ana@corp.example"), seen("p2", "bo@corp.example")];
        store.person_ensure(&people, noon()).await.unwrap();
        let ana = Some(PersonId("p1".to_owned()));
        let member = MemberSeen {
            id: "m1".to_owned(),
            person_id: ana.clone(),
            email: "Ana@corp.example".to_owned(),
            name: None,
            status: "accepted".to_owned(),
            two_factor: Some(true),
            roles: json!([{ "id": "r1", "name": "Administrator" }]).to_string(),
            policies: "[]".to_owned(),
            raw: "{}".to_owned(),
            fingerprint: "-".to_owned(),
        };
        store
            .member_upsert(&connection, &[member], None, noon())
            .await
            .unwrap();
        let user = AccessUserSeen {
            id: "u1".to_owned(),
            person_id: ana,
            email: "ana@corp.example".to_owned(),
            name: None,
            access_seat: Some(true),
            gateway_seat: None,
            active_device_count: Some(2),
            last_login_at: Some(noon()),
            raw: "{}".to_owned(),
            fingerprint: "-".to_owned(),
        };
        store
            .access_user_upsert(&connection, &[user], None, noon())
            .await
            .unwrap();
        let group = AccessGroupSeen {
            id: "g1".to_owned(),
            name: "Engineers".to_owned(),
            raw: json!({ "id": "g1", "name": "Engineers", "include": [{ "everyone": {} }] }).to_string(),
            fingerprint: "-".to_owned(),
        };
        store
            .access_group_upsert(&connection, &[group], None, noon())
            .await
            .unwrap();
        let role = RoleSeen {
            id: "r1".to_owned(),
            name: "Administrator".to_owned(),
            description: None,
            raw: "{}".to_owned(),
            fingerprint: "-".to_owned(),
        };
        store
            .role_upsert(&connection, &[role], None, noon())
            .await
            .unwrap();
        let change = AccessChangeRow {
            id: "change-1".to_owned(),
            connection_id: connection.clone(),
            parent_id: None,
            action: "group.grant".to_owned(),
            object: "group Engineers".to_owned(),
            email: Some("ana@corp.example".to_owned()),
            request: json!({ "action": "group.grant", "connection": "c1", "group": "g1", "email": "ana@corp.example" })
                .to_string(),
            plan: json!({ "summary": "let ana in" }).to_string(),
            actor: "command line".to_owned(),
            note: Some("ticket 7".to_owned()),
            outcome: model::ChangeOutcome::Changed,
            reason: None,
            detail: json!({ "writes": 1 }).to_string(),
            undo: Some(
                json!({ "action": "group.revoke", "connection": "c1", "group": "g1", "email": "ana@corp.example" })
                    .to_string(),
            ),
            created_at: noon(),
            finished_at: Some(noon()),
        };
        store.access_change_insert(&change).await.unwrap();
        let timed = TimedGrantRow {
            id: "timed-1".to_owned(),
            connection_id: connection.clone(),
            kind: GrantKind::AccessGroup,
            entitlement_id: "g1".to_owned(),
            entitlement_name: "Engineers".to_owned(),
            email: "ana@corp.example".to_owned(),
            actor: "command line".to_owned(),
            granted_at: noon(),
            expires_at: noon() + TimeDelta::hours(8),
            notice_at: noon() + TimeDelta::hours(7),
            noticed_at: None,
            state: model::TimedGrantState::Active,
            take_back: None,
            change_id: None,
            attempts: 0,
            next_attempt_at: noon() + TimeDelta::hours(8),
            problem: None,
            ended_at: None,
        };
        store.timed_grant_insert(&timed).await.unwrap();
        let token = store::AccountObjectSeen {
            id: "t1".to_owned(),
            name: "Build".to_owned(),
            raw: json!({ "id": "t1", "name": "Build", "client_id": "c", "client_secret": "sealed" })
                .to_string(),
            fingerprint: "-".to_owned(),
        };
        store
            .account_object_upsert(&connection, "service_tokens", &[token], None, noon())
            .await
            .unwrap();
        store
            .listing_complete(&connection, "members", noon())
            .await
            .unwrap();
        let probe = ProbeRow {
            connection_id: connection.clone(),
            feature: "members".to_owned(),
            works: true,
            missing_permission: None,
            message: "works".to_owned(),
            checked_at: noon(),
        };
        store.probe_set(&probe).await.unwrap();
        let source = store::LogSourceRow {
            state: model::SourceState::Failing,
            problem: Some("the last push failed: error 503".to_owned()),
            place: Some("https://hub.corp.example/ingest/production/gateway_http".to_owned()),
            job_id: Some(7),
            last_complete_at: Some(noon()),
            last_error_at: Some(noon()),
            error_message: Some("error 503".to_owned()),
            missing_fields: json!(["NewestField"]).to_string(),
            warnings: json!(["the job samples records: not all records are pushed"]).to_string(),
            checked_at: Some(noon()),
            ..store::LogSourceRow::new(connection.clone(), "gateway_http", "logpush")
        };
        store.log_source_put(&source, None).await.unwrap();
        store.sync_run_start("s1", &connection, noon()).await.unwrap();
        let newcomer = store::AccountObjectSeen {
            id: "a1".to_owned(),
            name: "Wiki".to_owned(),
            raw: json!({ "id": "a1", "name": "Wiki", "policies": [] }).to_string(),
            fingerprint: "-".to_owned(),
        };
        store
            .account_object_upsert(&connection, "apps", &[newcomer], Some("s1"), noon())
            .await
            .unwrap();
        let got = store::GrantChangeRow {
            run_id: "s1".to_owned(),
            kind: model::GrantKind::AccessGroup,
            entitlement_id: "g1".to_owned(),
            entitlement_name: "Engineers".to_owned(),
            email: "ana@corp.example".to_owned(),
            before: None,
            after: Some("yes".to_owned()),
        };
        store.grant_change_keep(&connection, &[got]).await.unwrap();
        store
            .purge_start("pg1", &PersonId("p2".to_owned()), "asked", "token:tests", noon())
            .await
            .unwrap();
        let tried = app.rules();
        let since = noon() - TimeDelta::days(1);
        hub::detection::backtest::ask(app, &tried.rules()[0], since, None, &actor)
            .await
            .unwrap();
        assert!(hub::detection::backtest::carry_out(app).await.unwrap());
        let run = SyncRunRow {
            id: "s1".to_owned(),
            connection_id: connection,
            started_at: noon(),
            finished_at: Some(noon()),
            outcome: model::SyncOutcome::Complete,
            problem: None,
            requests: 4,
            counts: json!({ "members": { "seen": 1, "gone": 0 } }).to_string(),
            attempts: 1,
            compared: true,
            cancelled_by: None,
        };
        store
            .sync_run_finish(&run, "Sync of production is complete after 4 requests")
            .await
            .unwrap();
        let okta = integration::NewIntegration {
            integration_type: "Okta".to_owned(),
            tenant_url: "https://corp.okta.com".to_owned(),
            reference_id: None,
        };
        integration::create(app, ACCOUNT, &okta, &actor).await.unwrap();
        let request = campaign::CampaignRequest {
            name: "Everyone".to_owned(),
            rules: vec!["*".to_owned()],
            channel: "webhook".to_owned(),
            webhook_url: Some("https://chat.corp.example/hooks/s3cret-path".into()),
            delivery_limit_minutes: 0,
            test_mode: true,
            enabled: true,
        };
        campaign::put(app, None, &request, &actor).await.unwrap();
        rule_admin::write_document(app, "ours.yml", RULE, &actor)
            .await
            .unwrap();
        rule_admin::set_mode(app, "our-nodes", RuleMode::Test, &actor)
            .await
            .unwrap();
        let approved = ["*.corp.example".to_owned()];
        rule_admin::set_parameter(app, "approved_domains", Some(&approved), &actor)
            .await
            .unwrap();
        let lines = [
            dns("ana@corp.example", "q1").to_string(),
            dns("stranger@else.example", "q2").to_string(),
            "this is no record".to_owned(),
        ];
        let answer = world.receive("gateway_dns", lines.join("\n")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        while hub::driver::pipeline(app).await.unwrap() {}
        // The one group is named by nothing, which a check finds; of lists that were never read none can tell.
        for kind in ["access_groups", "apps", "policies"] {
            store
                .listing_complete(&ConnectionId("c1".to_owned()), kind, noon())
                .await
                .unwrap();
        }
        let connection = store.connection_list().await.unwrap().remove(0);
        hub::posture::run(app, &connection).await.unwrap();
        world
    }

    /// The folder of the archive.
    pub(crate) fn archive(&self) -> std::path::PathBuf {
        self.folder.path().join("archive")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Self::send_to(web::router(self.app.clone()), request).await
    }

    /// The same to a router that is made once.
    pub(crate) async fn send_to(router: Router, request: Request<Body>) -> Answer {
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream does not end.
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind == "text/event-stream");
        let body = if is_stream { Body::empty() } else { body };
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends with the token of this world; a body is JSON.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_with(Some(&self.token), method, path, body).await
    }

    pub(crate) async fn call_with(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// Sends a batch with the right secret.
    pub(crate) async fn receive(&self, dataset: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(format!("/ingest/production/{dataset}"))
            .header("x-flareward-secret", LOG_SECRET)
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    /// A token that holds these permissions alone.
    pub(crate) async fn token_of(&self, permissions: &[Permission]) -> String {
        let others = self.app.store.access_token_list().await.unwrap().len();
        let name = format!("token {others}");
        let (_, token) = permission::token_create(&self.app, &name, permissions)
            .await
            .unwrap();
        token.expose_secret().to_owned()
    }
}

/// A lookup that a system rule finds.
pub(crate) fn dns(email: &str, id: &str) -> Value {
    json!({
        "Datetime": "2026-11-20T09:14:05Z", "Email": email, "QueryName": "k3f9.sync-node.test",
        "QueryTypeName": "A", "QueryCategoryIDs": [155, 80],
        "QueryCategoryNames": ["Technology", "Command and Control & Botnet"],
        "ResolverDecision": "allowedOnNoPolicyMatch", "QueryID": id,
    })
}
