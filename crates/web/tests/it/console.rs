//! The console's pages: who sees them, what they hold, what they refuse.

use crate::world::{Answer, World, noon};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use hub::Permission;
use hub::event::EventFilter;
use model::{PersonId, RiskLevel};
use store::PersonSeen;
use tower::ServiceExt;
use url::form_urlencoded::Serializer;

/// A browser: it keeps its cookie and follows nothing by itself.
pub(crate) struct Browser {
    router: Router,
    cookie: Option<String>,
}

impl Browser {
    fn new(world: &World) -> Browser {
        Browser {
            router: web::router(world.app.clone()),
            cookie: None,
        }
    }

    /// A browser that is logged in with a token that holds these permissions.
    pub(crate) async fn logged_in(world: &World, permissions: &[Permission]) -> Browser {
        let mut browser = Browser::new(world);
        let token = world.token_of(permissions).await;
        let answer = browser.log_in(&token, "/").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    async fn log_in(&mut self, token: &str, next: &str) -> Answer {
        let answer = self.post("/login", &[("token", token), ("next", next)]).await;
        if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(body)).await
    }

    async fn send(&self, mut request: axum::http::request::Builder, body: Body) -> Answer {
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// The value that this session's forms carry.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.get("/people").await.text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

/// The cookie of a session that may do everything, as a browser sends it.
pub(crate) async fn session_cookie(world: &World) -> String {
    let browser = Browser::logged_in(world, &Permission::ALL).await;
    browser.cookie.unwrap()
}

/// Every page of a world that has something of everything.
async fn pages(world: &World) -> Vec<String> {
    let filter = store::DetectionFilter {
        limit: 1,
        ..Default::default()
    };
    let detection = world.app.store.detection_list(&filter).await.unwrap().remove(0);
    let filter = EventFilter {
        limit: 1,
        ..EventFilter::default()
    };
    let event = hub::event::find(&world.app, &filter)
        .await
        .unwrap()
        .events
        .remove(0);
    let fixed = [
        "/",
        "/?days=30",
        "/people",
        "/people?search=ana&level=high",
        "/people?search=nobody",
        "/people/p1",
        "/people/p2",
        "/syncs/s1",
        "/access/explain?person=p1&group=g1",
        "/access/explain?person=ana@corp.example&role=Administrator&connection=production",
        "/detections",
        "/detections?person=p1",
        "/detections?rule=none",
        "/events",
        "/events?dataset=gateway_dns&person=ana@corp.example",
        "/rules",
        "/rules?dataset=gateway_dns&mode=test",
        "/rules?dataset=gateway_network&mode=off",
        "/connections",
        "/connections/production",
        "/deliveries",
        "/changes",
        "/changes/change-1",
        "/change-access",
        "/groups",
        "/groups/production/g1",
        "/deliveries?signals=dead&messages=test",
        "/posture",
        "/posture?state=muted",
        "/posture?state=resolved&severity=high",
        "/posture?check=member_2fa_off&connection=production",
        "/logs",
        "/rejects",
        "/unmapped",
    ];
    let mut pages: Vec<String> = fixed.map(str::to_owned).to_vec();
    pages.push(format!("/detections/{}", detection.id));
    pages.push(format!("/events/{}", event.id));
    pages.extend(
        world
            .app
            .rules()
            .rules()
            .iter()
            .map(|rule| format!("/rules/{}", rule.name)),
    );
    pages
}

/// Nothing that the policy `default-src 'self'` would refuse, and nothing from another server.
fn check_policy(path: &str, page: &str) {
    for part in page.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let name = tag.split([' ', '\n']).next().unwrap();
        assert_ne!(name, "style", "{path}");
        if name == "script" {
            assert!(tag.contains(" src=\"/assets/"), "{path}: {tag}");
            assert!(part.ends_with('>'), "{path}: a script has content: {part}");
        }
        for attribute in [
            " style=",
            " onclick=",
            " onload=",
            " onerror=",
            " hx-on",
            "javascript:",
        ] {
            assert!(!tag.contains(attribute), "{path}: {tag}");
        }
        for place in [" src=\"", " href=\"", " action=\""] {
            if let Some((_, target)) = tag.split_once(place) {
                assert!(
                    target.starts_with('/') || target.starts_with('#'),
                    "{path}: {tag}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_page_answers_a_session_keeps_the_policy_and_leads_others_to_the_login() {
    let world = World::lived_in().await;
    let (stranger, visitor) = (
        Browser::new(&world),
        Browser::logged_in(&world, &Permission::ALL).await,
    );
    for path in pages(&world).await {
        let page = visitor.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.text.matches("<h1>").count(), 1, "{path}");
        assert_eq!(
            page.text.matches("<table").count(),
            page.text.matches("<caption").count(),
            "{path}"
        );
        check_policy(&path, &page.text);
        let refused = stranger.get(&path).await;
        assert_eq!(refused.status, StatusCode::SEE_OTHER, "{path}");
        assert!(
            refused.header("location").starts_with("/login?next=%2F"),
            "{path}"
        );
    }
    for path in [
        "/people/none",
        "/events?person=nobody@corp.example",
        "/detections?person=nobody@corp.example",
        "/access/explain?person=nobody@corp.example&group=Engineers",
        "/detections/none",
        "/events/none",
        "/rules/none",
        "/connections/none",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        check_policy(path, &page.text);
    }
    for path in [
        "/people?level=severe",
        "/events?before=yesterday",
        "/deliveries?signals=lost",
        "/rules?mode=sometimes",
    ] {
        assert_eq!(visitor.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn an_empty_hub_says_what_to_do_next() {
    let world = World::new().await;
    world
        .app
        .store
        .connection_delete(&model::ConnectionId("c1".to_owned()))
        .await
        .unwrap();
    let visitor = Browser::logged_in(&world, &Permission::ALL).await;
    for path in ["/", "/people", "/connections"] {
        let page = visitor.get(path).await;
        assert!(page.text.contains("flareward connect --label"), "{path}");
        check_policy(path, &page.text);
    }
    for path in [
        "/detections",
        "/events",
        "/deliveries",
        "/changes",
        "/logs",
        "/rejects",
        "/unmapped",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.contains("fw-empty-title"), "{path}");
    }
}

#[tokio::test]
async fn a_login_opens_a_session_and_a_logout_ends_it() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    check_policy("/login", &browser.get("/login").await.text);
    let refused = browser.log_in("fw_wrong", "/people").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text.contains("Unknown or revoked token") && !refused.text.contains("fw_wrong"));
    let opened = browser.log_in(&world.token, "/people?level=high").await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER);
    assert_eq!(opened.header("location"), "/people?level=high");
    let cookie = opened.header("set-cookie").to_owned();
    for part in [
        "flareward_session=",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
        "Secure",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(browser.get("/people").await.status, StatusCode::OK);
    // Who is logged in already is not asked again.
    assert_eq!(
        browser.get("/login?next=/rules").await.header("location"),
        "/rules"
    );
    let csrf = browser.csrf().await;
    for wrong in ["", "fwc_wrong"] {
        let refused = browser.post("/logout", &[("csrf", wrong)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let closed = browser.post("/logout", &[("csrf", &csrf)]).await;
    assert_eq!(closed.header("location"), "/login");
    assert_eq!(browser.get("/people").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_leads_to_no_other_server() {
    let world = World::new().await;
    for next in ["https://else.example/", "//else.example/", "/\\else.example/"] {
        let opened = Browser::new(&world).log_in(&world.token, next).await;
        assert_eq!(opened.header("location"), "/", "{next}");
    }
}

/// Every path of the console that a form goes to.
const FORMS: [&str; 10] = [
    "/login",
    "/logout",
    "/people/p1/reset-risk",
    "/posture/findings/f1/mute",
    "/posture/findings/f1/unmute",
    "/rules/our-nodes/mode",
    "/connections/production/sync",
    "/connections/production/check",
    "/changes/change-1/undo",
    "/change-access",
];

#[tokio::test]
async fn no_form_of_another_site_is_taken() {
    let world = World::new().await;
    let mut browser = Browser::logged_in(&world, &Permission::ALL).await;
    let csrf = browser.csrf().await;
    let body = format!("token={}&csrf={csrf}", world.token);
    let send = async |browser: &Browser, path: &str, says: &[(&str, &str)]| {
        let mut request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in says {
            request = request.header(*name, *value);
        }
        browser.send(request, Body::from(body.clone())).await
    };
    // An older browser, or one that was not asked over https, says where a form is from and nothing else.
    let foreign: [&[(&str, &str)]; 4] = [
        &[("host", "hub.corp.example"), ("origin", "https://else.example")],
        &[("host", "hub.corp.example"), ("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://blog.corp.example"),
        ],
    ];
    for path in &FORMS {
        for says in foreign {
            let refused = send(&browser, path, says).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {says:?}");
            assert!(
                refused.text.contains("submitted from another site"),
                "{path}: {}",
                refused.text
            );
        }
    }
    browser.cookie = None;
    let own = [
        ("host", "hub.corp.example"),
        ("origin", "https://hub.corp.example"),
    ];
    assert_eq!(send(&browser, "/login", &own).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    for _ in 0..10 {
        assert_eq!(
            browser.log_in("fw_guess", "/").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        browser.log_in("fw_guess", "/").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    let refusals = world.app.store.audit_list(None, 100).await.unwrap();
    let refusals = refusals
        .iter()
        .filter(|row| row.outcome.as_str() == "refused")
        .count();
    assert_eq!(refusals, 10);
    assert_eq!(
        browser.log_in(&world.token, "/").await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_session_may_do_what_its_token_may() {
    let world = World::lived_in().await;
    let reader = Browser::logged_in(&world, &[Permission::Read]).await;
    let csrf = reader.csrf().await;
    assert!(!reader.get("/people/p1").await.text.contains("reset-risk"));
    assert!(
        !reader
            .get("/connections/production")
            .await
            .text
            .contains("Sync now")
    );
    for path in [
        "/people/p1/reset-risk",
        "/connections/production/sync",
        "/connections/production/check",
    ] {
        let refused = reader.post(path, &[("csrf", &csrf), ("reason", "because")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert!(
            refused.text.contains("your token lacks the"),
            "{path}: {}",
            refused.text
        );
    }
    let caller = Browser::logged_in(&world, &[Permission::CapabilitiesCall]).await;
    assert_eq!(caller.get("/people").await.status, StatusCode::FORBIDDEN);
    for token in world.app.store.access_token_list().await.unwrap() {
        world
            .app
            .store
            .access_token_revoke(&token.id, noon())
            .await
            .unwrap();
    }
    assert_eq!(caller.get("/people").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_reset_needs_the_sessions_form_and_a_reason() {
    let world = World::lived_in().await;
    let visitor = Browser::logged_in(&world, &[Permission::Read, Permission::RiskWrite]).await;
    let level = async || {
        let person = world.app.store.person_get(&PersonId("p1".to_owned())).await;
        person.unwrap().unwrap().risk_level
    };
    assert_eq!(level().await, RiskLevel::High);
    let (path, csrf) = ("/people/p1/reset-risk", visitor.csrf().await);
    for (fields, status) in [
        (vec![("reason", "a false alarm")], StatusCode::FORBIDDEN),
        (
            vec![("reason", "a false alarm"), ("csrf", "fwc_wrong")],
            StatusCode::FORBIDDEN,
        ),
        (
            vec![("reason", "  "), ("csrf", csrf.as_str())],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(visitor.post(path, &fields).await.status, status, "{fields:?}");
        assert_eq!(level().await, RiskLevel::High);
    }
    let done = visitor
        .post(path, &[("reason", "a false alarm"), ("csrf", &csrf)])
        .await;
    assert_eq!(done.header("location"), "/people/p1");
    assert_eq!(level().await, RiskLevel::Unscored);
    assert!(visitor.get("/people/p1").await.text.contains("a false alarm"));
}

#[tokio::test]
async fn a_hostile_name_stays_text() {
    let world = World::lived_in().await;
    let name = "<script>alert(1)</script>\"' onload=x";
    let seen = PersonSeen {
        new_id: PersonId("p3".to_owned()),
        email: "eve\"><img src=x onerror=alert(1)>@corp.example".to_owned(),
        name: Some(name.to_owned()),
    };
    world.app.store.person_ensure(&[seen], noon()).await.unwrap();
    let record = serde_json::json!({
        "Datetime": "2026-11-20T09:20:00Z", "Email": "eve\"><img src=x onerror=alert(1)>@corp.example",
        "QueryName": "</pre><script>alert(2)</script>", "QueryID": "q9", "ResolverDecision": "<b>",
    });
    let broken = "</code><script>alert(3)</script>";
    let answer = world.receive("gateway_dns", format!("{record}\n{broken}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    while hub::driver::pipeline(&world.app).await.unwrap() {}
    let visitor = Browser::logged_in(&world, &Permission::ALL).await;
    let filter = EventFilter {
        person_id: Some(PersonId("p3".to_owned())),
        limit: 1,
        ..EventFilter::default()
    };
    let event = hub::event::find(&world.app, &filter)
        .await
        .unwrap()
        .events
        .remove(0);
    for path in [
        "/",
        "/people",
        "/people/p3",
        "/events",
        "/logs",
        "/rejects",
        &format!("/events/{}", event.id),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(
            !page.text.contains("<script>") && !page.text.contains("<img src=x"),
            "{path}"
        );
        check_policy(path, &page.text);
    }
    assert!(
        visitor
            .get("/people/p3")
            .await
            .text
            .contains("&#60;script&#62;alert(1)")
    );
}

#[tokio::test]
async fn what_pages_load_may_be_kept_for_ever() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    let page = browser.get("/login").await.text;
    let files: Vec<&str> = page
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let answer = browser.get(file).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=31536000, immutable",
            "{file}"
        );
    }
    assert_eq!(
        browser.get("/assets/console.css").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_history_of_risk_needs_a_session_and_counts_people() {
    let world = World::lived_in().await;
    let path = "/console/risk-history.json?days=7";
    assert_eq!(
        Browser::new(&world).get(path).await.status,
        StatusCode::UNAUTHORIZED
    );
    let history = Browser::logged_in(&world, &[Permission::Read])
        .await
        .get(path)
        .await
        .json();
    assert_eq!(history["at"].as_array().unwrap().len(), 169);
    assert_eq!(history["high"].as_array().unwrap().last().unwrap(), 1);
}

#[tokio::test]
async fn a_running_sync_is_watched_and_its_end_loads_the_page_again() {
    let world = World::lived_in().await;
    let visitor = Browser::logged_in(&world, &Permission::ALL).await;
    let ended = visitor.get("/connections/production/progress").await;
    assert_eq!(ended.header("hx-refresh"), "true");
    let connection = model::ConnectionId("c1".to_owned());
    let store = &world.app.store;
    store.sync_run_start("s2", &connection, noon()).await.unwrap();
    let counts = r#"{"members":{"seen":1200,"gone":0}}"#;
    store.sync_run_progress("s2", 25, counts).await.unwrap();
    let syncing = model::ConnectionState::Syncing;
    store
        .connection_state_set(
            &connection,
            syncing,
            None,
            "Connection production is syncing",
            noon(),
        )
        .await
        .unwrap();
    let part = visitor.get("/connections/production/progress").await;
    assert!(
        part.text.contains("25 requests") && part.text.contains("1\u{202f}200"),
        "{}",
        part.text
    );
    let page = visitor.get("/connections/production").await.text;
    assert!(page.contains("hx-trigger") && !page.contains("Sync now"));
    let paused = model::ConnectionState::Paused;
    store
        .connection_state_set(
            &connection,
            paused,
            Some("only 3 of 9"),
            "Connection production is paused: only 3 of 9",
            noon(),
        )
        .await
        .unwrap();
    let page = visitor.get("/connections/production").await.text;
    assert!(page.contains("Confirm and sync") && page.contains("only 3 of 9"));
}

#[tokio::test]
async fn a_finding_is_muted_by_a_form_that_belongs_to_the_session() {
    let world = World::lived_in().await;
    let may = [Permission::Read, Permission::PostureWrite];
    let browser = Browser::logged_in(&world, &may).await;
    let page = browser.get("/posture").await.text;
    assert!(page.contains("Is every Access group used by a policy"), "{page}");
    assert!(page.contains("have never been read"), "{page}");
    let (_, rest) = page.split_once("action=\"/posture/findings/").unwrap();
    let id = rest.split('/').next().unwrap().to_owned();
    let csrf = browser.csrf().await;
    let path = format!("/posture/findings/{id}/mute");
    let answer = browser.post(&path, &[("csrf", "another"), ("reason", "x")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let fields = [
        ("csrf", csrf.as_str()),
        ("reason", "<b>a pilot</b>"),
        ("until", "2026-12-24"),
    ];
    let answer = browser.post(&path, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let page = browser.get("/posture?state=muted").await.text;
    assert!(
        page.contains("&#60;b&#62;a pilot") || page.contains("&lt;b&gt;a pilot"),
        "{page}"
    );
    let fields = [("csrf", csrf.as_str()), ("reason", "x"), ("until", "soon")];
    assert_eq!(browser.post(&path, &fields).await.status, StatusCode::BAD_REQUEST);
    let path = format!("/posture/findings/{id}/unmute");
    let answer = browser.post(&path, &[("csrf", &csrf)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    // Who may only read sees findings and no form.
    let reader = Browser::logged_in(&world, &[Permission::Read]).await;
    let page = reader.get("/posture").await.text;
    assert!(!page.contains("/mute\""), "{page}");
    let csrf = reader.csrf().await;
    let fields = [("csrf", csrf.as_str()), ("reason", "x")];
    let answer = reader
        .post(&format!("/posture/findings/{id}/mute"), &fields)
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_rule_is_switched_by_a_form_that_belongs_to_the_session() {
    let world = World::lived_in().await;
    let may = [Permission::Read, Permission::RulesWrite];
    let browser = Browser::logged_in(&world, &may).await;
    let page = browser.get("/rules/our-nodes").await.text;
    assert!(
        page.contains("In test mode") && page.contains("2 matches"),
        "{page}"
    );
    assert!(page.contains("action=\"/rules/our-nodes/mode\""), "{page}");
    let path = "/rules/our-nodes/mode";
    let answer = browser.post(path, &[("csrf", "another"), ("mode", "off")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let csrf = browser.csrf().await;
    let answer = browser.post(path, &[("csrf", &csrf), ("mode", "maybe")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let answer = browser.post(path, &[("csrf", &csrf), ("mode", "off")]).await;
    assert_eq!(answer.header("location"), "/rules/our-nodes");
    assert!(world.app.rules().rule("our-nodes").unwrap().mode == rules::book::RuleMode::Off);
    let page = browser.get("/rules?mode=off").await.text;
    assert!(
        page.contains("/rules/our-nodes\"") && !page.contains("/rules/dns-phishing\""),
        "{page}"
    );
    let answer = browser
        .post("/rules/none/mode", &[("csrf", &csrf), ("mode", "off")])
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    // Who may only read sees the mode and no form.
    let reader = Browser::logged_in(&world, &[Permission::Read]).await;
    let page = reader.get("/rules/our-nodes").await.text;
    assert!(
        page.contains("The rule does not run") && !page.contains("/mode\""),
        "{page}"
    );
    let csrf = reader.csrf().await;
    let answer = reader.post(path, &[("csrf", &csrf), ("mode", "on")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_detection_shows_how_often_and_on_which_events() {
    let world = World::lived_in().await;
    let visitor = Browser::logged_in(&world, &[Permission::Read]).await;
    let filter = store::DetectionFilter {
        person_id: Some(PersonId("p1".to_owned())),
        limit: 1,
        ..Default::default()
    };
    let detection = world.app.store.detection_list(&filter).await.unwrap().remove(0);
    let page = visitor.get(&format!("/detections/{}", detection.id)).await.text;
    assert!(page.contains("id=\"evidence-title\""), "{page}");
    assert!(
        page.contains(&format!("href=\"/events/{}\"", detection.event_id)),
        "{page}"
    );
    assert!(page.contains("<dt>Matches</dt><dd>1</dd>"), "{page}");
}

#[tokio::test]
async fn both_levels_are_named_and_the_form_for_access_asks_how_long_a_grant_lasts() {
    let world = World::lived_in().await;
    let visitor = Browser::logged_in(&world, &Permission::ALL).await;
    for path in ["/", "/people", "/people/p1", "/people/ana@corp.example"] {
        let page = visitor.get(path).await;
        assert!(page.text.contains("Flareward risk level"), "{path}");
        assert!(
            !page.text.contains(">Risk<") && !page.text.contains(">Reset risk<"),
            "{path}"
        );
    }
    let form = visitor.get("/change-access").await;
    assert!(form.text.contains("name=\"permanent\""), "{}", form.text);
    let both = "/change-access?person=ana@corp.example&connection=production&action=group.grant&thing=Engineers\
                &hours=8&permanent=yes";
    let page = visitor.get(both).await;
    assert!(
        page.text.contains("for_minutes and permanent cannot be combined"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn commands_end_with_the_folder_of_this_servers_data() {
    let world = World::new().await;
    let visitor = Browser::logged_in(&world, &Permission::ALL).await;
    let folder = world.app.settings.data.dir.display().to_string();
    for path in ["/people", "/posture", "/events", "/logs"] {
        let page = visitor.get(path).await;
        let commands = page.text.lines().filter(|line| line.contains("flareward "));
        let mut count = 0;
        for line in commands.filter(|line| !line.contains("Flareward")) {
            assert!(line.contains(&format!("--data-dir {folder}")), "{path}: {line}");
            count += 1;
        }
        assert!(count > 0, "{path}");
    }
}

#[tokio::test]
async fn every_refusal_of_the_console_is_a_page() {
    let world = World::new().await;
    let browser = Browser::logged_in(&world, &Permission::ALL).await;
    let form = "application/x-www-form-urlencoded";
    let page = async |what: &str, request: axum::http::request::Builder, body: Body, status: StatusCode| {
        let answer = browser.send(request, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{what}: {}",
            answer.header("content-type")
        );
        assert!(
            answer.text.contains("Go to the overview"),
            "{what}: {}",
            answer.text
        );
        answer.text
    };
    for path in &FORMS {
        for kind in [
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
        ] {
            let request = Request::post(*path).header(header::CONTENT_TYPE, kind);
            let text = page(
                path,
                request,
                Body::from("{}"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            )
            .await;
            assert!(text.contains("the body is not a form"), "{text}");
        }
        let large = Request::post(*path).header(header::CONTENT_TYPE, form);
        let body = Body::from("a=b&".repeat(1 << 20));
        page(path, large, body, StatusCode::PAYLOAD_TOO_LARGE).await;
    }
    let fields = Request::post("/login").header(header::CONTENT_TYPE, form);
    page(
        "a field is missing",
        fields,
        Body::from("nothing=here"),
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    let query = Request::get("/people?search=a&search=b");
    page("a query", query, Body::empty(), StatusCode::BAD_REQUEST).await;
    let path = Request::get("/people/%ff");
    page("a path", path, Body::empty(), StatusCode::BAD_REQUEST).await;
}
