//! The Okta-like receiver: which tokens it accepts and refuses, and why.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sandbox::{Faults, Sandbox, SinkFault, SinkFaults};
use serde_json::{Value, json};

use crate::client::{http, start};

const USER_RISK: &str = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change";

/// A key with its name.
struct Key {
    kid: String,
    signing: EncodingKey,
    public: Value,
}

impl Key {
    fn new(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(private.as_ref())
        );
        // RSAPublicKey in DER: a sequence (4 bytes), the modulus (4 bytes and a zero), the exponent.
        let modulus = pair.public_key().as_ref()[9..9 + 256].to_vec();
        let public = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus),
        });
        Self {
            kid: kid.to_owned(),
            signing: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            public,
        }
    }

    fn sign(&self, claims: &Value, typ: &str) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        header.typ = Some(typ.to_owned());
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

/// A transmitter's published documents.
struct Transmitter {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Transmitter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Transmitter {
    async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(
            keys.iter().map(|key| key.public.clone()).collect::<Vec<_>>(),
        ));
        let document = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "else": [1, 2] });
        let published = |State(keys): State<Arc<Mutex<Vec<Value>>>>| async move {
            Json(json!({ "keys": *keys.lock().unwrap() }))
        };
        let app = Router::new()
            .route(
                "/.well-known/ssf-configuration",
                get(move || async move { Json(document) }),
            )
            .route("/jwks", get(published))
            .with_state(Arc::clone(&keys));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { issuer, keys, task }
    }
}

async fn register(sandbox: &Sandbox, transmitter: &Transmitter) -> Value {
    let well_known = format!("{}/.well-known/ssf-configuration", transmitter.issuer);
    let body = json!({ "name": "Flareward", "type": "okta", "settings": { "well_known_url": well_known } });
    let url = format!("{}/api/v1/security-events-providers", sandbox.info().okta_url);
    let response = http().post(url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn send(sandbox: &Sandbox, token: String, content_type: &str) -> (u16, String) {
    let url = format!("{}/security/api/v1/security-events", sandbox.info().okta_url);
    let response = http()
        .post(url)
        .header("content-type", content_type)
        .body(token)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, body["err"].as_str().unwrap_or_default().to_owned())
}

fn claims(sandbox: &Sandbox, transmitter: &Transmitter, jti: &str) -> Value {
    json!({
        "iss": transmitter.issuer, "aud": sandbox.info().okta_url, "jti": jti, "iat": 1_795_310_000,
        "events": { USER_RISK: {
            "subject": { "user": { "format": "email", "email": "Tom.Okafor@tidewater.example" } },
            "event_timestamp": 1_795_309_998, "current_level": "high", "previous_level": "low",
            "initiating_entity": "policy", "reason_admin": { "en": "Impossible travel" },
        } },
    })
}

#[tokio::test]
async fn a_right_token_is_taken_and_kept() {
    let (sandbox, _) = start().await;
    let key = Key::new("k1");
    let transmitter = Transmitter::start(&[&key]).await;
    let provider = register(&sandbox, &transmitter).await;
    assert_eq!(provider["status"], "ACTIVE");
    assert_eq!(provider["settings"]["issuer"], transmitter.issuer.as_str());
    let token = key.sign(&claims(&sandbox, &transmitter, "a"), "secevent+jwt");
    assert_eq!(
        send(&sandbox, token.clone(), "application/secevent+jwt").await,
        (202, String::new())
    );
    assert_eq!(send(&sandbox, token, "application/secevent+jwt").await.0, 202);
    let mut stranger = claims(&sandbox, &transmitter, "b");
    stranger["events"][USER_RISK]["subject"]["user"]["email"] = json!("nobody@tidewater.example");
    let stranger = key.sign(&stranger, "secevent+jwt");
    assert_eq!(send(&sandbox, stranger, "application/secevent+jwt").await.0, 202);
    let signals = sandbox.world().received_signals();
    let seen: Vec<(bool, bool, bool)> = signals
        .iter()
        .map(|signal| (signal.accepted, signal.duplicate, signal.unknown_user))
        .collect();
    assert_eq!(
        seen,
        [(true, false, false), (true, true, false), (true, false, true)]
    );
    assert_eq!(
        (
            signals[0].previous_level.as_str(),
            signals[0].current_level.as_str()
        ),
        ("low", "high")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let (sandbox, _) = start().await;
    let (key, other) = (Key::new("k1"), Key::new("k1"));
    let transmitter = Transmitter::start(&[&key]).await;
    register(&sandbox, &transmitter).await;
    let good = claims(&sandbox, &transmitter, "a");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = good.clone();
        change(&mut claims);
        claims
    };
    let slash = format!("{}/", sandbox.info().okta_url);
    let audiences = json!([sandbox.info().okta_url]);
    let cases: Vec<(&str, Value, &str)> = vec![
        (
            "another issuer",
            with(&|claims| claims["iss"] = json!("https://other.example")),
            "invalid_issuer",
        ),
        (
            "a slash after the audience",
            with(&|claims| claims["aud"] = json!(slash)),
            "invalid_audience",
        ),
        (
            "a list of audiences",
            with(&|claims| claims["aud"] = audiences.clone()),
            "invalid_audience",
        ),
        (
            "no jti",
            with(&|claims| drop(claims.as_object_mut().unwrap().remove("jti"))),
            "invalid_request",
        ),
        (
            "a time that is text",
            with(&|claims| claims["iat"] = json!("1795310000")),
            "invalid_request",
        ),
        (
            "no event",
            with(&|claims| claims["events"] = json!({})),
            "invalid_request",
        ),
        (
            "an unknown event",
            with(&|claims| claims["events"] = json!({ "https://x.example": {} })),
            "invalid_request",
        ),
        (
            "no level",
            with(&|claims| claims["events"][USER_RISK]["current_level"] = json!("")),
            "invalid_request",
        ),
        (
            "no such level",
            with(&|claims| claims["events"][USER_RISK]["current_level"] = json!("HIGH")),
            "invalid_request",
        ),
        (
            "no reason",
            with(&|claims| claims["events"][USER_RISK]["reason_admin"] = Value::Null),
            "invalid_request",
        ),
        (
            "no subject",
            with(&|claims| claims["events"][USER_RISK]["subject"] = json!({})),
            "invalid_request",
        ),
        (
            "no such entity",
            with(&|claims| claims["events"][USER_RISK]["initiating_entity"] = json!("x")),
            "invalid_request",
        ),
    ];
    for (what, claims, err) in cases {
        let token = key.sign(&claims, "secevent+jwt");
        let got = send(&sandbox, token, "application/secevent+jwt").await;
        assert_eq!(got, (400, err.to_owned()), "{what}");
    }
    let typ = key.sign(&good, "JWT");
    assert_eq!(
        send(&sandbox, typ, "application/secevent+jwt").await.1,
        "invalid_request"
    );
    let token = key.sign(&good, "secevent+jwt");
    assert_eq!(
        send(&sandbox, token, "application/jwt").await.1,
        "invalid_request"
    );
    let forged = other.sign(&good, "secevent+jwt");
    assert_eq!(
        send(&sandbox, forged, "application/secevent+jwt").await.1,
        "authentication_failed"
    );
    assert_eq!(
        send(&sandbox, "nonsense".to_owned(), "application/secevent+jwt")
            .await
            .1,
        "invalid_request"
    );
    assert!(
        sandbox
            .world()
            .received_signals()
            .iter()
            .all(|signal| !signal.accepted)
    );
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_used() {
    let (sandbox, _) = start().await;
    let (old, new) = (Key::new("old"), Key::new("new"));
    let transmitter = Transmitter::start(&[&old]).await;
    register(&sandbox, &transmitter).await;
    let token = old.sign(&claims(&sandbox, &transmitter, "a"), "secevent+jwt");
    assert_eq!(send(&sandbox, token, "application/secevent+jwt").await.0, 202);
    let token = new.sign(&claims(&sandbox, &transmitter, "b"), "secevent+jwt");
    assert_eq!(
        send(&sandbox, token.clone(), "application/secevent+jwt").await.1,
        "authentication_failed"
    );
    transmitter.keys.lock().unwrap().push(new.public.clone());
    assert_eq!(send(&sandbox, token, "application/secevent+jwt").await.0, 202);
}

#[tokio::test]
async fn providers_are_managed() {
    let (sandbox, _) = start().await;
    let key = Key::new("k1");
    let transmitter = Transmitter::start(&[&key]).await;
    let provider = register(&sandbox, &transmitter).await;
    let list = format!("{}/api/v1/security-events-providers", sandbox.info().okta_url);
    let one = format!("{list}/{}", provider["id"].as_str().unwrap());
    let stopped: Value = http()
        .post(format!("{one}/lifecycle/deactivate"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(stopped["status"], "INACTIVE");
    let token = key.sign(&claims(&sandbox, &transmitter, "a"), "secevent+jwt");
    assert_eq!(
        send(&sandbox, token, "application/secevent+jwt").await.1,
        "invalid_issuer"
    );
    let all: Value = http().get(&list).send().await.unwrap().json().await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let direct = json!({ "name": "D", "type": "x", "settings": {
        "issuer": transmitter.issuer, "jwks_url": format!("{}/jwks", transmitter.issuer),
    } });
    assert_eq!(http().put(&one).json(&direct).send().await.unwrap().status(), 200);
    assert_eq!(http().delete(&one).send().await.unwrap().status(), 204);
    assert_eq!(http().get(&one).send().await.unwrap().status(), 404);
    let long =
        json!({ "name": "x".repeat(101), "type": "x", "settings": { "issuer": "i", "jwks_url": "j" } });
    assert_eq!(http().post(&list).json(&long).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_receiver_can_be_out_of_order() {
    let (sandbox, _) = start().await;
    let key = Key::new("k1");
    let transmitter = Transmitter::start(&[&key]).await;
    register(&sandbox, &transmitter).await;
    let okta = SinkFault {
        times: 2,
        status: Some(503),
    };
    sandbox.world().faults_set(Faults {
        sinks: SinkFaults {
            okta,
            ..SinkFaults::default()
        },
        ..Faults::default()
    });
    let token = key.sign(&claims(&sandbox, &transmitter, "a"), "secevent+jwt");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(send(&sandbox, token.clone(), "application/secevent+jwt").await.0);
    }
    assert_eq!(statuses, [503, 503, 202]);
    assert!(!sandbox.world().received_signals()[2].duplicate);
}
