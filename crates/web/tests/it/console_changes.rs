//! What the console's forms do to access and connections, and what they say when it fails.

use crate::changes::synced;
use crate::console::Browser;
use crate::world::Answer;
use axum::http::StatusCode;
use hub::Permission;
use sandbox::Faults;

const WHO: &str = "omar.said@tidewater.example";

fn goes_to(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.header("location").to_owned()
}

fn refused(answer: &Answer, words: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.text.contains(words), "{words}: {}", answer.text);
}

#[tokio::test]
async fn a_grant_is_planned_made_shown_and_undone_by_forms() {
    let (sandbox, world) = synced().await;
    let browser = Browser::logged_in(&world, &Permission::ALL).await;
    let csrf = browser.csrf().await;
    let rules = || sandbox.world().access_group("Finance").unwrap()["include"].clone();
    let before = rules();
    let form = [
        ("csrf", csrf.as_str()),
        ("action", "group.grant"),
        ("connection", "tidewater"),
        ("person", WHO),
        ("thing", "Finance"),
        ("hours", "8"),
        ("note", "quarter close"),
    ];
    let query =
        "action=group.grant&connection=tidewater&person=omar.said@tidewater.example&thing=Finance&hours=8";
    let plan = browser.get(&format!("/change-access?{query}")).await;
    assert!(plan.text.contains(WHO), "{}", plan.text);
    assert_eq!(rules(), before, "a plan changes nothing");

    let page = goes_to(&browser.post("/change-access", &form).await);
    assert_ne!(rules(), before);
    let shown = browser.get(&page).await;
    for words in ["quarter close", "changed", "Undo"] {
        assert!(shown.text.contains(words), "{words}: {}", shown.text);
    }
    let again = goes_to(&browser.post("/change-access", &form).await);
    assert!(browser.get(&again).await.text.contains("already"));

    let undone = goes_to(&browser.post(&format!("{page}/undo"), &[("csrf", &csrf)]).await);
    assert_ne!(undone, page);
    assert_eq!(rules(), before);
    let listed = browser.get("/changes").await;
    assert!(
        listed.text.contains(&format!("href=\"{undone}\"")),
        "{}",
        listed.text
    );
}

#[tokio::test]
async fn a_form_that_asks_for_what_cannot_be_is_a_page_with_the_reason_and_changes_nothing() {
    let (sandbox, world) = synced().await;
    let browser = Browser::logged_in(&world, &Permission::ALL).await;
    let csrf = browser.csrf().await;
    let post = async |changes: &[(&str, &str)]| {
        let mut form = vec![
            ("csrf", csrf.as_str()),
            ("action", "group.grant"),
            ("connection", "tidewater"),
            ("person", WHO),
            ("thing", "Finance"),
        ];
        for (name, value) in changes {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        browser.post("/change-access", &form).await
    };
    for (changes, words) in [
        ([("thing", "No such group")], "No such group"),
        ([("connection", "nowhere")], "nowhere"),
        ([("person", "nobody")], "nobody"),
        ([("hours", "soon")], "hours"),
        ([("action", "group.destroy")], "group.destroy"),
    ] {
        refused(&post(&changes).await, words);
    }
    // What a guard refuses is a change with that outcome.
    let page = goes_to(
        &post(&[
            ("person", "elena.rossi@tidewater.example"),
            ("thing", "All staff"),
        ])
        .await,
    );
    assert!(browser.get(&page).await.text.contains("refused"));
    refused(
        &browser.post(&format!("{page}/undo"), &[("csrf", &csrf)]).await,
        "cannot be undone",
    );
    let missing = browser.post("/changes/none/undo", &[("csrf", &csrf)]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let include = sandbox.world().access_group("Finance").unwrap()["include"].to_string();
    assert!(!include.contains(WHO), "{include}");
}

#[tokio::test]
async fn a_connection_is_checked_and_synced_by_forms_and_a_paused_one_needs_a_word() {
    let (sandbox, world) = synced().await;
    let browser = Browser::logged_in(&world, &Permission::ALL).await;
    let csrf = browser.csrf().await;
    let post = async |what: &str, more: &[(&str, &str)]| {
        let mut form = vec![("csrf", csrf.as_str())];
        form.extend_from_slice(more);
        browser
            .post(&format!("/connections/tidewater/{what}"), &form)
            .await
    };
    let store = &world.app.store;
    let row = store.connection_by_label("tidewater").await.unwrap().unwrap();
    let runs = async || store.sync_run_list(Some(&row.id), 10).await.unwrap().len();
    assert_eq!(runs().await, 1);
    let (asked, ()) = tokio::join!(post("sync", &[]), syncs_are_done(&world.app));
    assert_eq!(goes_to(&asked), "/connections/tidewater");
    assert_eq!(runs().await, 2);
    let audit = store.audit_list(None, 1).await.unwrap();
    assert_eq!(audit[0].action.as_str(), "connection.sync");

    let now = world.app.clock.now();
    let paused = model::ConnectionState::Paused;
    store
        .connection_state_set(&row.id, paused, Some("members fell by half"), "paused", now)
        .await
        .unwrap();
    refused(&post("sync", &[]).await, "members fell by half");
    let (confirmed, ()) = tokio::join!(post("sync", &[("confirm", "yes")]), syncs_are_done(&world.app));
    goes_to(&confirmed);
    let after = store.connection_by_label("tidewater").await.unwrap().unwrap();
    assert_ne!(after.state, paused);

    let probes = async || {
        let probes = store.probe_list(&row.id).await.unwrap();
        probes.into_iter().filter(|probe| probe.works).count()
    };
    let before = probes().await;
    sandbox.world().faults_set(Faults {
        removed_permissions: vec!["Intel Read".to_owned(), "Intel Write".to_owned()],
        ..Faults::default()
    });
    assert_eq!(goes_to(&post("check", &[]).await), "/connections/tidewater");
    assert!(
        probes().await < before,
        "what the credential may no longer do is shown"
    );
    let missing = browser.post("/connections/none/check", &[("csrf", &csrf)]).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

/// The stage does what was asked for.
async fn syncs_are_done(app: &hub::App) {
    while !hub::driver::asked_syncs(app).await.unwrap() {
        tokio::task::yield_now().await;
    }
}
