//! What a receiver of signals fetches is enough to check a token, by a library that is not ours.

use crate::world::World;
use axum::http::{Method, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use std::collections::HashSet;

/// The path behind the public address.
fn path(address: &str) -> &str {
    address.strip_prefix("https://hub.corp.example").unwrap()
}

#[tokio::test]
async fn a_token_can_be_checked_by_what_is_public() {
    let world = World::lived_in().await;
    let integrations = world.app.store.integration_list(None).await.unwrap();
    let id = integrations[0].id.as_str();
    let public = async |path: &str| world.call_with(None, Method::GET, path, None).await;
    let mut found = HashSet::new();
    for name in ["sse-configuration", "ssf-configuration"] {
        for end in ["", "/"] {
            let answer = public(&format!("/.well-known/{name}/{id}{end}")).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.header("content-type"), "application/json");
            found.insert(answer.text);
        }
    }
    assert_eq!(found.len(), 1);
    let metadata: Value = serde_json::from_str(found.iter().next().unwrap()).unwrap();
    let issuer = metadata["issuer"].as_str().unwrap();
    assert_eq!(issuer, format!("https://hub.corp.example/{id}"));
    let answer = public(path(metadata["jwks_uri"].as_str().unwrap())).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=3600");
    assert_eq!(public("/jwks.json").await.text, answer.text);
    let keys: JwkSet = serde_json::from_str(&answer.text).unwrap();

    let signing = hub::transmit::keys::current(&world.app).await.unwrap();
    let token = signals::Token {
        issuer: issuer.to_owned(),
        audience: "https://corp.okta.com".to_owned(),
        issued_at: world.app.clock.now().timestamp(),
        id: "jti-1".to_owned(),
        transaction: None,
        subject: signals::Subject::email("ana@corp.example"),
        event: signals::Event::RiskChange(
            signals::RiskChange::between(
                signals::RiskLevel::None,
                signals::RiskLevel::High,
                world.app.clock.now().timestamp(),
                signals::Initiator::Policy,
            )
            .unwrap()
            .because("a test"),
        ),
    };
    let signed = token.sign(signals::Profile::OKTA, &signing).unwrap();
    let header = decode_header(&signed).unwrap();
    assert_eq!(header.typ.as_deref(), Some("secevent+jwt"));
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    // A Security Event Token does not expire.
    rules.validate_exp = false;
    rules.required_spec_claims = HashSet::from(["iss", "aud"].map(str::to_owned));
    rules.set_issuer(&[issuer]);
    rules.set_audience(&["https://corp.okta.com"]);
    let claims = decode::<Value>(&signed, &DecodingKey::from_jwk(key).unwrap(), &rules).unwrap();
    assert_eq!(claims.claims["jti"], "jti-1");
}

#[tokio::test]
async fn an_integration_that_is_gone_has_no_documents() {
    let world = World::lived_in().await;
    let row = world.app.store.integration_list(None).await.unwrap().remove(0);
    hub::integration::delete(&world.app, &row.account_id, row.id.as_str(), &hub::Actor::System)
        .await
        .unwrap();
    for id in [row.id.as_str(), "none"] {
        for path in [
            format!("/.well-known/sse-configuration/{id}"),
            format!("/.well-known/ssf-configuration/{id}/"),
            format!("/{id}/jwks.json"),
        ] {
            let answer = world.call_with(None, Method::GET, &path, None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
