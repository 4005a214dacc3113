//! Connecting an account, and what its credential can do.

use crate::kit::{self, Hub, each, stand_in, story};
use axum::{Json, Router, routing::get};
use cloudflare::Credential;
use hub::Actor;
use hub::connect::{ConnectError, ConnectRequest, Connected, connect, doctor};
use model::{ConnectionState, CredentialKind};
use sandbox::{Faults, Sandbox};
use secrecy::ExposeSecret;
use serde_json::json;

fn request(sandbox: &Sandbox, credential: Credential, account: Option<&str>) -> ConnectRequest {
    ConnectRequest {
        label: "tidewater".to_owned(),
        account: account.map(str::to_owned),
        credential,
        base_url: Some(sandbox.info().base_url.clone()),
    }
}

async fn try_connect(hub: &Hub, request: &ConnectRequest) -> Result<Connected, ConnectError> {
    connect(&hub.app, request, &Actor::CommandLine).await
}

fn words(error: &ConnectError) -> String {
    hub::causes(error)
}

#[tokio::test]
async fn every_kind_of_credential_finds_its_account() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let info = sandbox.info().clone();
        let hub = Hub::start(scratch).await;
        let shouted = info.account_name.to_uppercase();
        let key = || Credential::global_key(&info.email, &info.api_key);
        for (credential, account, kind) in [
            (
                Credential::token(&info.token),
                Some(info.account_id.as_str()),
                CredentialKind::UserToken,
            ),
            (
                Credential::token(&info.token),
                Some(shouted.as_str()),
                CredentialKind::UserToken,
            ),
            (Credential::token(&info.token), None, CredentialKind::UserToken),
            (
                Credential::token(&info.account_token),
                Some(info.account_id.as_str()),
                CredentialKind::AccountToken,
            ),
            (key(), Some(info.account_id.as_str()), CredentialKind::GlobalKey),
            (key(), None, CredentialKind::GlobalKey),
        ] {
            let connected = try_connect(&hub, &request(&sandbox, credential, account))
                .await
                .unwrap();
            assert_eq!(connected.connection.credential_kind, kind);
            assert_eq!(connected.connection.account_id, info.account_id);
            assert_eq!(connected.connection.account_name, info.account_name);
            let dark: Vec<_> = connected.probes.iter().filter(|row| !row.works).collect();
            assert!(dark.is_empty(), "{kind}: {dark:?}");
            assert_eq!(connected.connection.state, ConnectionState::Connected);
        }
        // Connecting again replaced the credential, five times.
        assert_eq!(hub.app.store.connection_list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_what_to_do() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let info = sandbox.info().clone();
        let hub = Hub::start(scratch).await;
        let token = || Credential::token(&info.token);
        let unknown = "0123456789abcdef0123456789abcdef";
        for (credential, account, expected) in [
            (
                token(),
                Some("Driftwood"),
                "cannot access the account \"Driftwood\"",
            ),
            (token(), Some(unknown), unknown),
            (
                Credential::token("cfut_0000000000000000000000000000000000000000"),
                Some(info.account_id.as_str()),
                "rejected this credential",
            ),
            (
                Credential::token(&info.account_token),
                Some(info.account_name.as_str()),
                "specify the account by its ID",
            ),
            (
                Credential::token(&info.account_token),
                None,
                "specify the account by its ID",
            ),
            (
                Credential::global_key(&info.email, "0000000000000000000000000000000000000"),
                None,
                "rejected this credential",
            ),
        ] {
            let error = try_connect(&hub, &request(&sandbox, credential, account))
                .await
                .unwrap_err();
            assert!(words(&error).contains(expected), "{account:?}: {}", words(&error));
        }
        assert!(hub.app.store.connection_list().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_ambiguous_name_is_refused_and_its_accounts_are_listed() {
    each(async |scratch| {
        let (one, two) = ("a".repeat(32), "b".repeat(32));
        let accounts = json!({ "success": true, "result": [
            { "id": one, "name": "Tidewater" }, { "id": two, "name": "TIDEWATER" },
            { "id": "c".repeat(32), "name": "Tidewater Holding" },
        ], "result_info": { "page": 1, "per_page": 50, "total_count": 3 } });
        let verified = json!({ "success": true, "result": { "id": "t", "status": "active" } });
        let base_url = stand_in(
            Router::new()
                .route("/accounts", get(async move || Json(accounts)))
                .route("/user/tokens/verify", get(async move || Json(verified))),
        )
        .await;
        let hub = Hub::start(scratch).await;
        let mut request = ConnectRequest {
            label: "tidewater".to_owned(),
            account: Some("tidewater".to_owned()),
            credential: Credential::token("secret"),
            base_url: Some(base_url),
        };
        let error = try_connect(&hub, &request).await.unwrap_err();
        assert!(matches!(error, ConnectError::AccountAmbiguous { .. }), "{error}");
        assert!(words(&error).contains(&one) && words(&error).contains(&two));
        request.account = None;
        let error = try_connect(&hub, &request).await.unwrap_err();
        assert!(matches!(error, ConnectError::AccountNeeded(_)), "{error}");
        assert!(words(&error).contains("Tidewater Holding"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_not_the_api_says_so() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        let token = || Credential::token(&sandbox.info().token);
        let mut request = request(&sandbox, token(), Some(&sandbox.info().account_id));
        sandbox.world().faults_set(Faults {
            not_json_path: Some("/tokens/verify".to_owned()),
            ..Faults::default()
        });
        let error = try_connect(&hub, &request).await.unwrap_err();
        assert!(
            words(&error).contains("\"Checking your browser\"") && words(&error).contains("wrong base URL"),
            "{}",
            words(&error)
        );
        sandbox.world().faults_clear();

        // A port that was free a moment ago refuses connections.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        request.base_url = Some(format!("http://{closed}/client/v4"));
        let error = try_connect(&hub, &request).await.unwrap_err();
        assert!(
            words(&error).contains("a request to Cloudflare failed"),
            "{}",
            words(&error)
        );
        for label in ["", "a b", &"x".repeat(65)] {
            request.label = label.to_owned();
            let error = try_connect(&hub, &request).await.unwrap_err();
            assert!(matches!(error, ConnectError::Label(_)), "{label}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_without_encryption_needs_the_setting() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start_with(scratch, |settings| settings.egress.allow_http = false).await;
        let token = Credential::token(&sandbox.info().token);
        let error = try_connect(&hub, &request(&sandbox, token, None))
            .await
            .unwrap_err();
        assert!(words(&error).contains("to allow http"), "{}", words(&error));
        assert!(sandbox.world().requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_missing_permission_leaves_one_feature_dark() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        sandbox.world().faults_set(Faults {
            removed_permissions: vec!["Access: Audit Logs Read".to_owned()],
            ..Faults::default()
        });
        let connected = hub.connect(&sandbox).await;
        let dark: Vec<(&str, Option<&str>)> = connected
            .probes
            .iter()
            .filter(|row| !row.works)
            .map(|row| (row.feature.as_str(), row.missing_permission.as_deref()))
            .collect();
        assert_eq!(
            dark,
            [
                ("Access users", Some("Access: Audit Logs Read")),
                ("Access authentication log", Some("Access: Audit Logs Read")),
            ]
        );
        let row = &connected.connection;
        assert_eq!(row.state, ConnectionState::Degraded);
        assert_eq!(
            row.state_reason.as_deref(),
            Some("no access to: Access users, Access authentication log")
        );

        // A sync reads what it may, and knows for itself what it could not read.
        let report = hub.sync().await;
        assert_eq!(report.outcome.as_str(), "partial");
        assert!(
            report.problems[0].contains("Access users"),
            "{:?}",
            report.problems
        );

        sandbox.world().faults_clear();
        doctor(&hub.app, &hub.connection().await).await.unwrap();
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
    })
    .await;
}

#[tokio::test]
async fn what_a_sync_does_not_read_stays_dark_after_it() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        sandbox.world().faults_set(Faults {
            removed_permissions: vec!["Intel Read".to_owned(), "Intel Write".to_owned()],
            ..Faults::default()
        });
        hub.connect(&sandbox).await;
        assert_eq!(hub.sync().await.outcome.as_str(), "complete");
        let row = hub.connection().await;
        assert_eq!(row.state, ConnectionState::Degraded);
        let reason = row.state_reason.unwrap();
        assert_eq!(reason, "no access to: intelligence on addresses and domains");
    })
    .await;
}

#[tokio::test]
async fn what_the_plan_does_not_have_is_told_and_is_no_fault() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        sandbox.world().faults_set(Faults {
            risk_not_entitled: true,
            ..Faults::default()
        });
        let connected = hub.connect(&sandbox).await;
        let off_plan = connected.probes.iter().filter(|probe| !probe.works);
        for probe in off_plan.clone() {
            assert!(
                probe.message.starts_with("not on this account's plan"),
                "{probe:?}"
            );
            assert_eq!(probe.missing_permission, None, "no permission would help");
        }
        assert_eq!(off_plan.count(), 2);
        assert_eq!(hub.sync().await.outcome.as_str(), "complete");
        assert_eq!(hub.connection().await.state, ConnectionState::Connected);
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_which_nothing_works_has_failed() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        sandbox.world().faults_set(Faults {
            // Every path ends with nothing.
            unsuccessful_path: Some(String::new()),
            ..Faults::default()
        });
        let probes = doctor(&hub.app, &hub.connection().await).await.unwrap();
        assert!(probes.iter().all(|probe| !probe.works));
        let row = hub.connection().await;
        assert_eq!(row.state, ConnectionState::Failed);
        let reason = row.state_reason.unwrap();
        assert!(reason.contains("The request did not succeed"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_label_keeps_its_account() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let other = Sandbox::start(sandbox::SandboxConfig { seed: 8, ..story() })
            .await
            .unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        let token = Credential::token(&other.info().token);
        let error = try_connect(&hub, &request(&other, token, None))
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::OtherAccount { .. }), "{error}");
        assert_eq!(hub.connection().await.account_id, sandbox.info().account_id);
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let info = sandbox.info().clone();
        let hub = Hub::start(scratch).await;
        let credential = || Credential::token(&info.token);
        let mut shown = String::new();
        for (account, base_url) in [
            (Some("Driftwood"), info.base_url.as_str()),
            (None, "http://127.0.0.1:1/client/v4"),
            (None, "ftp://x"),
        ] {
            let request = ConnectRequest {
                label: "tidewater".to_owned(),
                account: account.map(str::to_owned),
                credential: credential(),
                base_url: Some(base_url.to_owned()),
            };
            let error = try_connect(&hub, &request).await.unwrap_err();
            shown.push_str(&format!("{request:?}{error:?}{}", words(&error)));
        }
        sandbox.world().faults_set(Faults {
            removed_permissions: vec![
                "Account Settings Read".to_owned(),
                "Account Settings Write".to_owned(),
            ],
            not_json_path: Some("/access/groups".to_owned()),
            ..Faults::default()
        });
        let connected = hub.connect(&sandbox).await;
        shown.push_str(&format!("{connected:?}{:?}", hub.sync().await));
        shown.push_str(&format!("{:?}", hub.app.client(&connected.connection).unwrap()));
        shown.push_str(&kit::everything_stored(&hub).await);
        assert!(shown.contains(&info.account_id), "nothing was looked at");
        for secret in [info.token.as_str(), connected.ingest_secret.expose_secret()] {
            assert!(!shown.contains(secret), "a secret is shown");
            assert!(!shown.contains(&secret[6..]), "a secret is shown in part");
        }
    })
    .await;
}
