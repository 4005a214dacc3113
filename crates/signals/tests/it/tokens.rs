//! Signed tokens of both dialects, read back with `jsonwebtoken`.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use signals::{
    Event, Initiator, Jwks, OKTA_USER_RISK_CHANGE, Profile, RISK_LEVEL_CHANGE, RiskChange, RiskLevel,
    SigningKey, Subject, Token, TokenError, VERIFICATION,
};

fn token(event: Event) -> Token {
    Token {
        issuer: "https://ssf.example/9b1e".to_owned(),
        audience: "https://tenant.okta.com".to_owned(),
        issued_at: 1_795_310_000,
        id: "01JD".to_owned(),
        transaction: Some("risk-4711".to_owned()),
        subject: Subject::email("jo@corp.example"),
        event,
    }
}

fn risk_change() -> Event {
    let change = RiskChange::between(RiskLevel::Low, RiskLevel::High, 1_795_309_998, Initiator::Policy)
        .expect("the levels differ");
    Event::RiskChange(change.because("Impossible travel"))
}

/// Verifies signature, issuer and audience with the published key, as a receiver would.
fn read(set: &str, keys: &Jwks) -> Result<Value, jsonwebtoken::errors::Error> {
    let kid = decode_header(set)?.kid.expect("a kid");
    let published = keys
        .keys
        .iter()
        .find(|key| key.kid == kid)
        .expect("the key is published");
    let jwk: Jwk = serde_json::from_value(json!(published)).expect("a JWK");
    let mut rules = Validation::new(Algorithm::RS256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.set_issuer(&["https://ssf.example/9b1e"]);
    rules.set_audience(&["https://tenant.okta.com"]);
    Ok(decode::<Value>(set, &DecodingKey::from_jwk(&jwk)?, &rules)?.claims)
}

#[test]
fn an_okta_token_has_the_subject_inside_the_event_and_verifies() {
    let key = SigningKey::generate().unwrap();
    let set = token(risk_change()).sign(Profile::OKTA, &key).unwrap();
    let header = decode_header(&set).unwrap();
    assert_eq!(
        (header.alg, header.typ.as_deref()),
        (Algorithm::RS256, Some("secevent+jwt"))
    );
    assert_eq!(
        read(&set, &Jwks::new([key.public()])).unwrap(),
        json!({
            "iss": "https://ssf.example/9b1e", "aud": "https://tenant.okta.com", "iat": 1_795_310_000, "jti": "01JD",
            "txn": "risk-4711", "sub_id": {"format": "email", "email": "jo@corp.example"},
            "events": {OKTA_USER_RISK_CHANGE: {
                "subject": {"user": {"format": "email", "email": "jo@corp.example"}},
                "event_timestamp": 1_795_309_998, "current_level": "high", "previous_level": "low",
                "initiating_entity": "policy", "reason_admin": {"en": "Impossible travel"},
            }},
        })
    );
}

#[test]
fn a_standard_token_has_the_subject_at_the_top_and_verifies() {
    let key = SigningKey::generate().unwrap();
    let set = token(risk_change()).sign(Profile::Standard, &key).unwrap();
    let claims = read(&set, &Jwks::new([key.public()])).unwrap();
    assert_eq!(
        claims["sub_id"],
        json!({"format": "email", "email": "jo@corp.example"})
    );
    assert_eq!(
        claims["events"],
        json!({RISK_LEVEL_CHANGE: {
            "principal": "USER", "current_level": "HIGH", "previous_level": "LOW", "event_timestamp": 1_795_309_998,
            "initiating_entity": "policy", "reason_admin": {"en": "Impossible travel"},
        }})
    );
    assert_eq!((claims.get("exp"), claims.get("sub")), (None, None));
}

#[test]
fn an_okta_tenant_that_objects_gets_neither_txn_nor_sub_id() {
    let claims = token(risk_change())
        .claims(Profile::Okta {
            txn: false,
            sub_id: false,
        })
        .unwrap();
    assert_eq!((claims.get("txn"), claims.get("sub_id")), (None, None));
    assert_eq!(
        claims["events"][OKTA_USER_RISK_CHANGE]["subject"]["user"]["email"],
        "jo@corp.example"
    );
}

#[test]
fn okta_is_not_sent_what_it_does_not_understand() {
    let verification = token(Event::Verification {
        state: Some("s".to_owned()),
    });
    assert!(matches!(
        verification.claims(Profile::OKTA),
        Err(TokenError::NotForOkta)
    ));
    let claims = verification.claims(Profile::Standard).unwrap();
    assert_eq!(claims["events"], json!({VERIFICATION: {"state": "s"}}));
}

#[test]
fn a_token_about_nobody_or_without_identity_is_not_made() {
    let mut nobody = token(risk_change());
    nobody.subject = Subject::email("");
    assert!(matches!(
        nobody.claims(Profile::Standard),
        Err(TokenError::Subject(_))
    ));
    let mut unnamed = token(risk_change());
    unnamed.id.clear();
    assert!(matches!(
        unnamed.claims(Profile::Standard),
        Err(TokenError::EmptyClaim { claim: "jti" })
    ));
}

#[test]
fn a_stored_key_signs_the_same_bytes_and_a_rotated_set_verifies_both() {
    let former = SigningKey::generate().unwrap();
    let current = SigningKey::generate().unwrap();
    let reread = SigningKey::from_pkcs8(&former.to_pkcs8().unwrap()).unwrap();
    let old = token(risk_change()).sign(Profile::OKTA, &former).unwrap();
    assert_eq!(token(risk_change()).sign(Profile::OKTA, &reread).unwrap(), old);
    let keys = Jwks::new([current.public(), former.public(), reread.public()]);
    assert_eq!(keys.keys.len(), 2);
    read(&old, &keys).unwrap();
    read(
        &token(risk_change()).sign(Profile::OKTA, &current).unwrap(),
        &keys,
    )
    .unwrap();
}

#[test]
fn a_changed_token_does_not_verify() {
    let key = SigningKey::generate().unwrap();
    let set = token(risk_change()).sign(Profile::OKTA, &key).unwrap();
    let other = token(Event::Verification { state: None })
        .sign(Profile::Standard, &key)
        .unwrap();
    let parts: Vec<&str> = set.split('.').collect();
    let foreign: Vec<&str> = other.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], foreign[1], parts[2]);
    assert!(read(&forged, &Jwks::new([key.public()])).is_err());
}

#[test]
fn the_name_of_a_key_is_the_thumbprint_that_others_compute() {
    let key = SigningKey::generate().unwrap();
    let jwk: Jwk = serde_json::from_value(json!(key.public())).unwrap();
    assert_eq!(
        jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(),
        key.kid()
    );
}

#[test]
fn printing_a_key_shows_its_name_only() {
    let key = SigningKey::generate().unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey {{ kid: {:?}, .. }}", key.kid())
    );
}
