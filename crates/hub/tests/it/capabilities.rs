//! The five capabilities, by the contract of the field.

use crate::kit::{Hub, each, story};
use chrono::TimeDelta;
use hub::capability::{self, Outcome};
use hub::{Actor, permission::Permission};
use model::ConnectionState;
use sandbox::{Faults, Sandbox};
use serde_json::{Value, json};
use store::scratch::Scratch;

async fn ready(scratch: Scratch) -> (Sandbox, Hub) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start_with(scratch, |settings| settings.sync.answer_timeout_seconds = 1).await;
    hub.connect(&sandbox).await;
    (sandbox, hub)
}

async fn call(hub: &Hub, id: &str, properties: Value) -> Outcome {
    let input = json!({ "properties": properties });
    capability::call(&hub.app, id, None, &input, &Actor::CommandLine)
        .await
        .unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The output of a success, held against the manifest: neither more nor less than it promises, each of its type.
fn output<'a>(id: &str, outcome: &'a Outcome) -> &'a Value {
    assert_eq!(outcome.http_status, 200, "{}", outcome.body);
    assert_eq!(keys(&outcome.body), ["eventName", "output"]);
    assert_eq!(outcome.body["eventName"], "continue");
    let output = &outcome.body["output"];
    assert_eq!(output["statusCode"], 200);
    assert_eq!(output["rawResponse"]["success"], true);
    assert!(output["headers"]["content-type"].is_string(), "{output}");
    let manifest = capability::manifest(id).unwrap();
    let promised = &manifest["localOutputSchema"]["output"]["properties"];
    for (name, value) in output.as_object().unwrap() {
        if name == "messages" {
            continue;
        }
        let schema = promised
            .get(name)
            .unwrap_or_else(|| panic!("{id}: {name} is not promised"));
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(types.contains(&is), "{id}: {name} is {is}, not {types:?}");
    }
    for name in promised.as_object().unwrap().keys() {
        assert!(output.get(name).is_some(), "{id}: {name} is promised and missing");
    }
    output
}

/// The error of a failure, which every caller finds in the same place.
fn error<'a>(outcome: &'a Outcome, http_status: u16, code: &str) -> &'a Value {
    assert_eq!(outcome.http_status, http_status, "{}", outcome.body);
    assert_eq!(keys(&outcome.body), ["error", "eventName", "output"]);
    assert_eq!(outcome.body["eventName"], "error");
    let error = &outcome.body["error"];
    assert_eq!(error["code"], code, "{error}");
    for carried in [&error["details"], &outcome.body["output"]] {
        assert_eq!(keys(carried), ["headers", "rawResponse", "statusCode"]);
        assert!(carried["rawResponse"].is_object(), "{carried}");
    }
    assert!(error["httpResponseCode"].is_number(), "{error}");
    error
}

const OMAR: &str = "omar.said@tidewater.example";
const INES: &str = "ines.moreau@tidewater.example";

#[tokio::test]
async fn an_address_is_looked_up() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let harmless = call(&hub, "getIPOverview", json!({ "ip": " 50.64.49.74 " })).await;
        let found = output("getIPOverview", &harmless);
        assert_eq!(found["riskFound"], false);
        assert_eq!(found["riskType"], json!({}));
        assert_eq!(found["riskTypes"], json!([]));
        assert_eq!(found["result"]["ip"], "50.64.49.74");
        assert_eq!(found["asn"], "64500");
        assert_eq!(found["country"], "GB");
        assert_eq!(found["networkType"], "isp");
        assert_eq!(found["scope"], "public");

        // Where the story's command and control server lies.
        let domain = call(
            &hub,
            "getDomainOverview",
            json!({ "domain": "tidewater-sso-login.example" }),
        )
        .await;
        let bad_ip = domain.body["output"]["result"]["resolves_to_refs"][0]["value"].clone();
        let bad = call(&hub, "getIPOverview", json!({ "ip": bad_ip })).await;
        let found = output("getIPOverview", &bad);
        assert_eq!(found["riskFound"], true);
        assert_eq!(found["riskType"]["name"], "Phishing");
        assert_eq!(found["riskTypes"].as_array().unwrap().len(), 1);

        let six = call(&hub, "getIPOverview", json!({ "ip": "2001:DB8::1" })).await;
        assert_eq!(output("getIPOverview", &six)["result"]["ip"], "2001:db8::1");
        let before = sandbox.world().requests();
        for bad in [
            json!("10.0.0.0/8"),
            json!("example.com"),
            json!(""),
            json!(7),
            Value::Null,
        ] {
            let outcome = call(&hub, "getIPOverview", json!({ "ip": bad })).await;
            let error = error(&outcome, 422, "getIPOverviewInvalidInput");
            assert_eq!(error["pointer"], "/properties/ip");
        }
        assert_eq!(
            sandbox.world().requests(),
            before,
            "Cloudflare was asked all the same"
        );
    })
    .await;
}

#[tokio::test]
async fn a_domain_is_looked_up() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let news = call(
            &hub,
            "getDomainOverview",
            json!({ "domain": "News.Daily.Example." }),
        )
        .await;
        let found = output("getDomainOverview", &news);
        assert_eq!(found["result"]["domain"], "news.daily.example");
        assert_eq!(found["contentCategories"][0]["name"], "News & Media");
        assert_eq!(found["riskFound"], false);
        assert!(found.get("messages").is_none());

        let phishing = call(
            &hub,
            "getDomainOverview",
            json!({ "ip": "tidewater-sso-login.example" }),
        )
        .await;
        let found = output("getDomainOverview", &phishing);
        assert_eq!(found["riskFound"], true);
        assert_eq!(found["riskTypes"][0]["name"], "Phishing");
        assert_eq!(found["riskScore"], 0.95);
        assert_eq!(found["popularityRank"], Value::Null);
        assert!(found["messages"][0].as_str().unwrap().contains("domain"));

        let url = call(
            &hub,
            "getDomainOverview",
            json!({ "domain": "https://a.example/x" }),
        )
        .await;
        let error = error(&url, 422, "getDomainOverviewInvalidInput");
        assert!(
            error["message"].as_str().unwrap().contains("a.example"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_persons_score_is_read() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        // The filter also finds addresses that only contain the one that is asked for.
        world.access_user_add(&format!("x{OMAR}"), "Somebody Else");
        let clean = call(&hub, "getUserRiskScore", json!({ "email": OMAR.to_uppercase() })).await;
        let found = output("getUserRiskScore", &clean);
        assert_eq!(found["email"], OMAR);
        assert_eq!(found["name"], "Omar Said");
        assert_eq!(found["userId"], json!(world.access_user_id(OMAR)));
        assert_eq!(found["riskLevel"], Value::Null);
        assert_eq!(found["lastResetTime"], Value::Null);
        assert_eq!(found["riskEvents"], json!([]));
        assert_eq!(
            (&found["riskScored"], &found["eventCount"]),
            (&json!(false), &json!(0))
        );
        assert_eq!(found["lastEventAt"], Value::Null);

        world.risk_trigger(OMAR, "imp_travel", "high");
        let risky = call(&hub, "getUserRiskScore", json!({ "email": OMAR })).await;
        let found = output("getUserRiskScore", &risky);
        assert_eq!(
            (&found["riskLevel"], &found["riskScored"]),
            (&json!("high"), &json!(true))
        );
        // Cloudflare's score is not the level that is kept here.
        assert_eq!(found["hubRiskLevel"], Value::Null, "no sync has read this person");
        hub.sync().await;
        let known = call(&hub, "getUserRiskScore", json!({ "email": OMAR })).await;
        let known = output("getUserRiskScore", &known);
        assert_eq!(
            (&known["riskLevel"], &known["hubRiskLevel"]),
            (&json!("high"), &json!("unscored"))
        );
        assert_eq!(found["riskEvents"][0]["risk_level"], "high");
        assert_eq!(found["lastEventAt"], found["riskEvents"][0]["timestamp"]);
        assert_eq!(found["rawResponse"]["result"]["risk_level"], "high");

        let nobody = call(
            &hub,
            "getUserRiskScore",
            json!({ "email": "said@tidewater.example" }),
        )
        .await;
        let error_body = error(&nobody, 404, "userNotFound");
        assert_eq!(error_body["httpResponseCode"], 404);
        // The answer to the first call, which found someone else at most.
        assert_eq!(nobody.body["output"]["statusCode"], 200);
        assert!(nobody.body["output"]["rawResponse"]["result"].is_array());

        world.access_user_add(&OMAR.to_uppercase(), "Omar Again");
        let twice = call(&hub, "getUserRiskScore", json!({ "email": OMAR })).await;
        assert_eq!(error(&twice, 409, "ambiguousUser")["httpResponseCode"], 409);
        let nonsense = call(&hub, "getUserRiskScore", json!({ "email": "omar" })).await;
        error(&nonsense, 422, "getUserRiskScoreInvalidInput");
    })
    .await;
}

#[tokio::test]
async fn a_person_beyond_the_first_page_is_found() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        for n in 0..1_005 {
            world.access_user_add(&format!("z{n}.{INES}"), "Somebody");
        }
        world.access_user_remove(INES);
        let id = world.access_user_add(INES, "Ines Moreau");
        let outcome = call(&hub, "getUserRiskScore", json!({ "email": INES })).await;
        assert_eq!(output("getUserRiskScore", &outcome)["userId"], json!(id));
    })
    .await;
}

#[tokio::test]
async fn a_persons_score_is_reset_and_the_reset_is_audited() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        sandbox.world().risk_trigger(INES, "imp_travel", "high");
        let input = json!({ "email": INES, "reason": "a trip that was announced" });
        let outcome = call(&hub, "resetUserRiskScore", input).await;
        let found = output("resetUserRiskScore", &outcome);
        assert_eq!(
            (&found["success"], &found["previousRiskLevel"]),
            (&json!(true), &json!("high"))
        );
        assert_eq!(found["resetScore"], "cloudflare");
        assert!(found.get("hubRiskLevel").is_some(), "{found}");
        let after = call(&hub, "getUserRiskScore", json!({ "email": INES })).await;
        let found = output("getUserRiskScore", &after);
        assert_eq!(found["riskLevel"], Value::Null);
        assert!(found["lastResetTime"].is_string());
        let audit = hub.app.store.audit_list(None, 10).await.unwrap();
        let told: Vec<(&str, &str)> = audit
            .iter()
            .filter(|row| row.action.as_str() == "capability.call")
            .map(|row| (row.outcome.as_str(), row.detail.as_str()))
            .collect();
        assert_eq!((told[0].0, told[1].0), ("changed", "begun"));
        assert!(told[1].1.contains("a trip that was announced"), "{told:?}");

        sandbox.world().faults_set(Faults {
            unsuccessful_path: Some("/reset".to_owned()),
            ..Faults::default()
        });
        let outcome = call(&hub, "resetUserRiskScore", json!({ "email": INES })).await;
        error(&outcome, 502, "resetUserRiskScoreResponseError");
    })
    .await;
}

#[tokio::test]
async fn every_refusal_of_cloudflare_is_told_in_one_shape() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let world = sandbox.world();
        let score = async || call(&hub, "getUserRiskScore", json!({ "email": INES })).await;
        world.faults_set(Faults {
            risk_not_entitled: true,
            ..Faults::default()
        });
        let outcome = score().await;
        let told = error(&outcome, 502, "getUserRiskScoreResponseError");
        assert_eq!(told["httpResponseCode"], 403);
        assert!(told["message"].as_str().unwrap().contains("Enterprise"), "{told}");
        assert_eq!(told["details"]["rawResponse"]["errors"][0]["code"], 3314);

        world.faults_set(Faults {
            unsuccessful_path: Some("/intel/ip".to_owned()),
            ..Faults::default()
        });
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        let told = error(&outcome, 502, "getIPOverviewResponseError");
        assert_eq!(told["details"]["statusCode"], 200);
        assert_eq!(told["details"]["rawResponse"]["success"], false);

        world.faults_set(Faults {
            server_error_every: Some(1),
            ..Faults::default()
        });
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        assert_eq!(
            error(&outcome, 502, "getIPOverviewResponseError")["httpResponseCode"],
            500
        );
        // A fault that passes is not told at all.
        world.faults_set(Faults {
            server_error_every: Some(2),
            ..Faults::default()
        });
        let outcome = score().await;
        output("getUserRiskScore", &outcome);

        world.faults_set(Faults {
            latency_ms: 3_000,
            ..Faults::default()
        });
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        let told = error(&outcome, 504, "getIPOverviewError");
        assert_eq!(
            told["details"],
            json!({ "rawResponse": {}, "statusCode": null, "headers": null })
        );
        assert!(!told["message"].as_str().unwrap().contains("1.1.1.1"), "{told}");

        world.faults_set(Faults {
            rate_limited_for_seconds: Some(60),
            retry_after_seconds: Some(9),
            ..Faults::default()
        });
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        error(&outcome, 429, "getIPOverviewResponseError");
        assert_eq!(outcome.retry_after_seconds, Some(9));
        world.faults_clear();
        // And our own count holds back the next call as long, without asking.
        let asked = world.requests();
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        error(&outcome, 429, "getIPOverviewResponseError");
        assert!(outcome.retry_after_seconds.is_some_and(|seconds| seconds <= 9));
        assert_eq!(world.requests(), asked);
    })
    .await;
}

#[tokio::test]
async fn an_intelligence_answer_that_is_no_json_is_an_error() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        sandbox.world().faults_set(Faults {
            not_json_path: Some("/intel/ip".to_owned()),
            ..Faults::default()
        });
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        // "No risk" must never be read out of a web page.
        let told = error(&outcome, 502, "getIPOverviewResponseError");
        assert_eq!(told["httpResponseCode"], 200);
        let wrapped = &outcome.body["output"]["rawResponse"]["body"];
        assert!(
            wrapped.as_str().unwrap().contains("Checking your browser"),
            "{wrapped}"
        );
        // A custom call answers whatever it got.
        let endpoint = json!({ "endpoint": "/accounts/{accountId}/intel/ip", "method": "GET" });
        let outcome = call(&hub, "makeCustomApiCall", endpoint).await;
        assert_eq!(outcome.http_status, 200);
        assert_eq!(&outcome.body["output"]["rawResponse"]["body"], wrapped);
    })
    .await;
}

#[tokio::test]
async fn a_paused_connection_answers_nothing() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let store = &hub.app.store;
        let id = hub.connection().await.id;
        hub.clock.advance(TimeDelta::seconds(1));
        let now = model::Clock::now(&*hub.clock);
        store
            .connection_state_set(
                &id,
                ConnectionState::Paused,
                Some("half is gone"),
                "The connection is paused",
                now,
            )
            .await
            .unwrap();
        let asked = sandbox.world().requests();
        let outcome = call(&hub, "getIPOverview", json!({ "ip": "1.1.1.1" })).await;
        let told = error(&outcome, 503, "getIPOverviewError");
        assert!(told["message"].as_str().unwrap().contains("half is gone"));
        assert_eq!(sandbox.world().requests(), asked);
    })
    .await;
}

#[tokio::test]
async fn a_custom_call_shows_that_there_is_a_secret_and_not_which() {
    each(async |scratch| {
        let (_sandbox, hub) = ready(scratch).await;
        let connection = hub.connection().await;
        let client = hub.app.client(&connection).unwrap();
        let job = json!({ "dataset": "gateway_dns", "enabled": false,
            "destination_conf": "r2://logs/zt/{DATE}?account-id=a1&access-key-id=k1&secret-access-key=S3CRET" });
        let path = format!("/accounts/{}/logpush/jobs", connection.account_id);
        let made = cloudflare::RawCall {
            method: reqwest::Method::POST,
            path: path.clone(),
            query: Vec::new(),
            headers: reqwest::header::HeaderMap::new(),
            body: Some(job),
        };
        assert_eq!(client.raw(made).await.unwrap().status, 200);
        let outcome = call(&hub, "makeCustomApiCall", json!({ "endpoint": path, "method": "GET" })).await;
        let shown = &output("makeCustomApiCall", &outcome)["rawResponse"]["result"][0];
        assert_eq!(
            shown["destination_conf"],
            "r2://logs/zt/{DATE}?account-id=a1&access-key-id=k1&secret-access-key=[redacted]"
        );
        assert!(!outcome.body.to_string().contains("S3CRET"));
    })
    .await;
}

#[tokio::test]
async fn a_custom_call_reads_and_goes_nowhere_else() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let info = sandbox.info().clone();
        let custom = async |properties: Value| call(&hub, "makeCustomApiCall", properties).await;
        for (what, properties) in [
            ("the placeholder", json!({ "endpoint": "/accounts/{accountId}/members?page=2", "method": "GET",
                "queryParameters": [{ "key": "per_page", "value": 5 }] })),
            ("its other spelling", json!({ "endpoint": "/accounts/{account_id}/members", "method": "GET",
                "queryParameters": { "per_page": "5", "page": 2 }, "headers": [{ "key": "Accept", "value": "*/*" }] })),
            ("a whole address", json!({ "endpoint": format!("{}/accounts/{}/members?per_page=5&page=2",
                info.base_url, info.account_id), "method": "GET", "fromId": 7 })),
        ] {
            let outcome = custom(properties).await;
            let found = output("makeCustomApiCall", &outcome);
            assert_eq!(keys(found), ["headers", "rawResponse", "statusCode"]);
            assert_eq!(found["rawResponse"]["result_info"]["page"], 2, "{what}");
            assert_eq!(found["rawResponse"]["result_info"]["per_page"], 5, "{what}");
        }
        let missing = custom(json!({ "endpoint": "/accounts/{accountId}/nothing", "method": "GET" })).await;
        let told = error(&missing, 502, "makeCustomApiCallResponseError");
        assert_eq!(told["httpResponseCode"], 404);

        let asked = sandbox.world().requests();
        for endpoint in [
            "/accounts/../user",
            "/accounts/%2e%2E/user",
            "/accounts%2Fx",
            "//evil.example/x",
            "https://evil.example/x",
            "http://127.0.0.1:1/client/v4/user",
            "user",
            "/user#x",
            "/user\\x",
            "/user\r\nX-A: b",
            "/accounts/{zone}/x",
            "@evil.example/x",
            ".evil.example/x",
            "",
            &format!("{}.evil.example/user", info.base_url),
        ] {
            let outcome = custom(json!({ "endpoint": endpoint, "method": "GET" })).await;
            let told = error(&outcome, 422, "makeCustomApiCallInvalidInput");
            assert_eq!(told["pointer"], "/properties/endpoint", "{endpoint}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let outcome = custom(json!({ "endpoint": "/user", "method": method, "body": {} })).await;
            error(&outcome, 403, "makeCustomApiCallError");
        }
        for (pointer, properties) in [
            ("/properties/method", json!({ "endpoint": "/user", "method": "get" })),
            ("/properties/method", json!({ "endpoint": "/user", "method": "TRACE" })),
            ("/properties/headers", json!({ "endpoint": "/user", "method": "GET", "headers": { "Authorization": "x" } })),
            ("/properties/headers", json!({ "endpoint": "/user", "method": "GET", "headers": { "X-Auth-Key": "x" } })),
            ("/properties/headers", json!({ "endpoint": "/user", "method": "GET", "headers": { "hOsT": "x" } })),
            ("/properties/headers", json!({ "endpoint": "/user", "method": "GET",
                "headers": { "X-HTTP-Method-Override": "DELETE" } })),
            ("/properties/headers", json!({ "endpoint": "/user", "method": "GET", "headers": { "a": "b\r\nc: d" } })),
            ("/properties/headers/0", json!({ "endpoint": "/user", "method": "GET", "headers": [{ "value": "x" }] })),
            ("/properties/queryParameters", json!({ "endpoint": "/user", "method": "GET", "queryParameters": "a=b" })),
            ("/properties/queryParameters/0/value", json!({ "endpoint": "/user", "method": "GET",
                "queryParameters": [{ "key": "a", "value": {} }] })),
        ] {
            let outcome = custom(properties.clone()).await;
            let told = error(&outcome, 422, "makeCustomApiCallInvalidInput");
            assert_eq!(told["pointer"], pointer, "{properties}");
        }
        assert_eq!(sandbox.world().requests(), asked, "something went out");
        let audit = hub.app.store.audit_list(None, 100).await.unwrap();
        let of = |outcome: &str| audit.iter().filter(|row| row.outcome.as_str() == outcome).count();
        assert_eq!((of("refused"), of("begun")), (4, 4));
    })
    .await;
}

#[tokio::test]
async fn a_call_names_its_connection_when_there_are_several() {
    each(async |scratch| {
        let (sandbox, hub) = ready(scratch).await;
        let other = Sandbox::start(sandbox::SandboxConfig { seed: 8, ..story() })
            .await
            .unwrap();
        let request = hub::connect::ConnectRequest {
            label: "second".to_owned(),
            account: Some(other.info().account_id.clone()),
            credential: cloudflare::Credential::token(&other.info().token),
            base_url: Some(other.info().base_url.clone()),
        };
        hub::connect::connect(&hub.app, &request, &Actor::CommandLine)
            .await
            .unwrap();
        let input = json!({ "properties": { "ip": "1.1.1.1" } });
        let through = async |connection| {
            capability::call(&hub.app, "getIPOverview", connection, &input, &Actor::CommandLine)
                .await
                .unwrap()
        };
        for unclear in [None, Some("third")] {
            let outcome = through(unclear).await;
            let told = error(&outcome, 422, "getIPOverviewInvalidInput");
            assert_eq!(told["pointer"], "/connection");
        }
        let before = (sandbox.world().requests(), other.world().requests());
        let outcome = through(Some("second")).await;
        output("getIPOverview", &outcome);
        assert_eq!(sandbox.world().requests(), before.0);
        assert_ne!(other.world().requests(), before.1);
        let unknown = capability::call(&hub.app, "getWeather", None, &input, &Actor::CommandLine).await;
        assert!(unknown.is_none());
        let shapeless = capability::call(
            &hub.app,
            "getIPOverview",
            Some("second"),
            &json!([]),
            &Actor::CommandLine,
        )
        .await;
        error(&shapeless.unwrap(), 422, "getIPOverviewInvalidInput");
        for id in capability::IDS {
            assert!(
                capability::permission(id).is_some_and(|needed| needed != Permission::Read),
                "{id}"
            );
        }
    })
    .await;
}
