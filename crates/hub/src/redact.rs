//! Secrets in what Cloudflare answers, left out before it is stored for reading or leaves the hub.
//!
//! One list of fields says what is secret (`FIELDS`), and a few words catch what it does not know. Where a secret
//! stood, [`REDACTED`] stands, so that a reader sees that something did. Pure. Start reading at [`redacted`].

use serde_json::{Map, Value};
use url::Url;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// A field of Cloudflare's answers that holds a secret, and where Cloudflare documents it.
struct Field {
    /// In lower case, without `_` and `-`: `clientSecret` and `client_secret` are one.
    name: &'static str,
    /// The schema of Cloudflare's OpenAPI description, or the page of its API reference
    /// (developers.cloudflare.com/api).
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever reads the list"))]
    source: &'static str,
}

const fn field(name: &'static str, source: &'static str) -> Field {
    Field { name, source }
}

/// Whole values that are secret. `destination_conf` is not among them: it loses only its secret parts.
const FIELDS: &[Field] = &[
    field(
        "clientsecret",
        "access_client_secret, access_oidc_saas_app, access_identity-providers: OAuth and OIDC clients; service tokens when they are made or rotated",
    ),
    field(
        "secret",
        "access_schemas-scim_config: the token of an identity provider's SCIM; Turnstile widgets; webhook destinations of notifications",
    ),
    field(
        "token",
        "access_scim_config_authentication_oauth_bearer_token: SCIM provisioning of an application",
    ),
    field(
        "password",
        "access_scim_config_authentication_http_basic: SCIM provisioning of an application",
    ),
    field(
        "ownershipchallenge",
        "logpush_ownership_challenge: proves that a destination is one's own",
    ),
    field("accesstoken", "OAuth answers; RFC 6749, section 5.1"),
    field("refreshtoken", "OAuth answers; RFC 6749, section 5.1"),
    field("idtoken", "OpenID Connect Core, section 3.1.3.3"),
    field("sessiontoken", "R2 temporary credentials"),
    field(
        "secretaccesskey",
        "R2 temporary credentials; object storage jobs of R2 Super Slurper",
    ),
    field(
        "tunnelsecret",
        "Cloudflare Tunnel: credentials_file.TunnelSecret, tunnel_secret",
    ),
    field(
        "tunneltoken",
        "Cloudflare Tunnel: the token that runs a connector",
    ),
    field("psk", "Magic Transit IPsec tunnels: the pre-shared key"),
    field("privatekey", "Custom and origin CA certificates; Access SSH"),
    field("clientkey", "Device posture integrations (Uptycs, Kolide)"),
    field("apikey", "User details: the global API key; GET /user/api_key"),
    field("streamkey", "Stream live inputs: rtmps.streamKey"),
    field("passphrase", "Stream live inputs: srt.passphrase"),
    field("pem", "Stream and Images signing keys"),
    field("jwk", "Stream signing keys, which are private"),
    field("authorization", "Headers of HTTP destinations and health checks"),
];

/// Parts of names that are secret whatever the rest says.
const WORDS: &[&str] = &[
    "secret",
    "password",
    "passphrase",
    "privatekey",
    "tokenvalue",
    "apikey",
    "accesskey",
];
/// Names with such a part that hold none: an identifier, or the kind of a secret.
const HARMLESS: &[&str] = &["accesskeyid", "secretid", "secretname", "secrettype", "apikeyid"];
/// How Cloudflare's own tokens and keys begin since 2026 (developers.cloudflare.com/fundamentals/api/get-started).
const TOKEN_BEGINNINGS: &[&str] = &["cfut_", "cfat_", "cfk_"];

/// Parameters of a Logpush destination that may be read (developers.cloudflare.com/logs/logpush/logpush-job/
/// enable-destinations); all others hide what they hold: `secret-access-key`, `sig`, `header_Authorization`.
const OPEN_PARAMETERS: &[&str] = &[
    "account-id",
    "access-key-id",
    "region",
    "endpoint",
    "sse",
    "ddsource",
    "service",
    "host",
    "ddtags",
    "channel",
    "sourcetype",
    "insecure-skip-verify",
];
/// Destinations whose path is a bucket or a table; that of others may be the secret itself.
const OPEN_PATHS: &[&str] = &["s3", "r2", "gs", "azure", "datadog", "splunk"];

/// The answer without its secrets, in all depths, also in JSON that stands in a text, as the audit log has it.
pub fn redacted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: Map<String, Value> = members
                .into_iter()
                .map(|(name, value)| {
                    let value = member(&name, value);
                    (name, value)
                })
                .collect();
            Value::Object(members)
        }
        Value::Array(values) => values.into_iter().map(redacted).collect(),
        Value::String(text) => Value::String(text_redacted(text)),
        other => other,
    }
}

/// A whole answer: a result that is a bare text is a token (`cfd_tunnel/{id}/token`, `tokens/{id}/value`).
pub fn answer(mut body: Value) -> Value {
    if let Some(result) = body.get_mut("result").filter(|result| result.is_string()) {
        *result = Value::from(REDACTED);
    }
    redacted(body)
}

fn member(name: &str, value: Value) -> Value {
    let name: String = name
        .chars()
        .filter(|sign| !matches!(sign, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect();
    match value {
        Value::String(text) if name == "destinationconf" => Value::String(destination(&text)),
        Value::String(text) if is_secret(&name) && !text.is_empty() => Value::from(REDACTED),
        Value::Array(values) if is_secret(&name) => {
            let hidden = |value: Value| {
                if value.is_string() {
                    Value::from(REDACTED)
                } else {
                    redacted(value)
                }
            };
            values.into_iter().map(hidden).collect()
        }
        other => redacted(other),
    }
}

fn is_secret(name: &str) -> bool {
    FIELDS.iter().any(|field| field.name == name)
        || (WORDS.iter().any(|word| name.contains(word)) && !HARMLESS.contains(&name))
}

fn text_redacted(text: String) -> String {
    let start = text.trim_start();
    if TOKEN_BEGINNINGS
        .iter()
        .any(|beginning| start.starts_with(beginning))
    {
        return REDACTED.to_owned();
    }
    if start.starts_with(['{', '['])
        && let Ok(inner) = serde_json::from_str::<Value>(&text)
    {
        let hidden = redacted(inner.clone());
        if hidden != inner {
            return hidden.to_string();
        }
    }
    text
}

/// A Logpush destination without its secret parts; wholly hidden where it cannot be told which they are.
fn destination(text: &str) -> String {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let parts = place.split_once("://").filter(|_| Url::parse(text).is_ok());
    let Some((scheme, rest)) = parts.filter(|_| !text.contains('#')) else {
        return REDACTED.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return REDACTED.to_owned();
    }
    let path = if path.len() > 1 && !OPEN_PATHS.contains(&scheme) {
        format!("/{REDACTED}")
    } else {
        path.to_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameters: Vec<String> = pairs
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if OPEN_PARAMETERS.contains(&name) => pair.to_owned(),
            Some((name, _)) => format!("{name}={REDACTED}"),
            None => REDACTED.to_owned(),
        })
        .collect();
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}{path}{mark}{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_destination_loses_its_secret_parts_alone() {
        for (given, shown) in [
            (
                "r2://logs/zt/{DATE}?account-id=a1&access-key-id=k1&secret-access-key=S3CRET",
                "r2://logs/zt/{DATE}?account-id=a1&access-key-id=k1&secret-access-key=[redacted]",
            ),
            (
                "s3://logs/zt?region=eu-west-1&sse=AES256",
                "s3://logs/zt?region=eu-west-1&sse=AES256",
            ),
            (
                "splunk://hec.example:8088/raw?channel=c&sourcetype=cf&header_Authorization=Basic%20S3CRET",
                "splunk://hec.example:8088/raw?channel=c&sourcetype=cf&header_Authorization=[redacted]",
            ),
            (
                "https://logs.example/in/S3CRET?header_X-Key=S3CRET",
                "https://logs.example/[redacted]?header_X-Key=[redacted]",
            ),
            ("https://user:S3CRET@logs.example/", "[redacted]"),
            ("https://logs.example?S3CRET", "https://logs.example?[redacted]"),
            (
                "azure://blob.example/logs?sv=2020&sig=S3CRET",
                "azure://blob.example/logs?sv=[redacted]&sig=[redacted]",
            ),
            ("S3CRET", "[redacted]"),
        ] {
            let shown_now = redacted(json!({ "destination_conf": given }));
            assert_eq!(shown_now["destination_conf"], shown, "{given}");
        }
    }

    #[test]
    fn every_secret_of_an_answer_is_hidden_wherever_it_stands_and_the_rest_stays() {
        let given = json!({ "success": true, "result": [{
            "id": "s1", "client_id": "c1", "client_secret": "S3CRET", "clientSecret": "S3CRET",
            "scim_config": { "enabled": true, "secret": "S3CRET",
                "authentication": { "scheme": "oauthbearertoken", "token": "S3CRET", "token_url": "https://x.example" } },
            "allow_pkce_without_client_secret": false, "secrets": ["S3CRET"], "token_id": "t1", "access_key_id": "k1",
            "note": "cfat_S3CRET", "newValue": "{\"client_secret\":\"S3CRET\",\"name\":\"n\"}", "password": "",
        }] });
        let shown = json!({ "success": true, "result": [{
            "id": "s1", "client_id": "c1", "client_secret": REDACTED, "clientSecret": REDACTED,
            "scim_config": { "enabled": true, "secret": REDACTED,
                "authentication": { "scheme": "oauthbearertoken", "token": REDACTED, "token_url": "https://x.example" } },
            "allow_pkce_without_client_secret": false, "secrets": [REDACTED], "token_id": "t1", "access_key_id": "k1",
            "note": REDACTED, "newValue": "{\"client_secret\":\"[redacted]\",\"name\":\"n\"}", "password": "",
        }] });
        assert_eq!(answer(given), shown);
        assert_eq!(
            answer(json!({ "result": "eyJhIjoi" })),
            json!({ "result": REDACTED })
        );
    }

    #[test]
    fn every_field_of_the_list_has_its_source() {
        for field in FIELDS {
            assert!(!field.source.is_empty(), "{}", field.name);
            assert!(is_secret(field.name));
            let spelt = field.name.chars().all(|sign| sign.is_ascii_lowercase());
            assert!(spelt, "{}", field.name);
        }
    }
}
