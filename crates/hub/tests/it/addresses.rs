//! Which person an address belongs to, after syncs and in the logs.

use crate::kit::{Hub, each, story};
use hub::Actor;
use hub::people::{self, AliasProblem, AliasRequest, Step};
use sandbox::Sandbox;
use serde_json::json;

fn request(person: &str, alias: &str) -> AliasRequest {
    AliasRequest {
        line: 7,
        person: person.to_owned(),
        alias: alias.to_owned(),
    }
}

fn lookup(id: &str, email: &str) -> serde_json::Value {
    json!({ "Datetime": "2026-11-20T09:14:05Z", "QueryID": id, "QueryName": "x.example", "Email": email })
}

#[tokio::test]
async fn an_address_that_is_given_to_someone_brings_its_events() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        hub.sync().await;
        let app = &hub.app;
        hub.happen("gateway_dns", &[lookup("1", "Benny@other.example")])
            .await;
        let ben = people::one(app, "ben.carter@tidewater.example")
            .await
            .unwrap()
            .unwrap();
        let events = async || {
            let filter = hub::event::EventFilter {
                person_id: Some(ben.id.clone()),
                limit: 10,
                ..Default::default()
            };
            hub::event::find(app, &filter).await.unwrap().events.len()
        };
        assert_eq!(events().await, 0);
        let steps = people::plan(
            app,
            &[request("Ben.Carter@tidewater.example", "Benny@other.example")],
            false,
        )
        .await
        .unwrap()
        .unwrap();
        people::apply(app, &steps, "csv", &Actor::CommandLine)
            .await
            .unwrap();
        hub.pipeline().await;
        assert_eq!(events().await, 1, "those that waited");
        hub.happen("gateway_dns", &[lookup("2", "benny@other.example")])
            .await;
        assert_eq!(events().await, 2, "those that come");
        let again = [request(ben.id.as_str(), "benny@OTHER.example")];
        let again = people::plan(app, &again, false).await.unwrap().unwrap();
        assert_eq!(again, [Step::Already]);

        // Someone else's address is not taken, and someone else is only merged when that is said.
        let alex = "alex.reid@tidewater.example";
        let requests = [request(alex, "benny@other.example"), request(alex, &ben.email)];
        let problems = people::plan(app, &requests, false).await.unwrap().unwrap_err();
        assert!(
            matches!(problems[0], (7, AliasProblem::Taken { .. })),
            "{problems:?}"
        );
        assert!(
            matches!(problems[1], (7, AliasProblem::Person { .. })),
            "{problems:?}"
        );
        let before = app.store.person_count().await.unwrap();
        let steps = people::plan(app, &[request(alex, &ben.email)], true)
            .await
            .unwrap()
            .unwrap();
        people::apply(app, &steps, "csv", &Actor::CommandLine)
            .await
            .unwrap();
        assert_eq!(app.store.person_count().await.unwrap(), before - 1);
        let merged = people::one(app, &ben.email).await.unwrap().unwrap();
        assert_eq!(merged.email, alex);
        // The next sync does not part them again.
        hub.sync().await;
        assert_eq!(app.store.person_count().await.unwrap(), before - 1);
        assert_eq!(app.store.member_by_person(&merged.id).await.unwrap().len(), 2);
        let audit = app.store.audit_list(None, 100).await.unwrap();
        assert!(
            audit.iter().any(|row| row.action.as_str() == "person.merge"),
            "{audit:?}"
        );

        assert!(
            people::alias_remove(app, "benny@other.example", &Actor::CommandLine)
                .await
                .unwrap()
        );
        assert!(
            !people::alias_remove(app, alex, &Actor::CommandLine)
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_renamed_domain_and_tags_are_one_person_everywhere() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let plain = Hub::start(scratch).await;
        plain.connect(&sandbox).await;
        plain.sync().await;
        let people_before = plain.app.store.person_count().await.unwrap();
        plain
            .happen("gateway_dns", &[lookup("1", "ben.carter+lab@tidewater.example")])
            .await;
        // The same store, with the domain renamed from here on.
        let mut settings = (*plain.app.settings).clone();
        settings.people.domain_aliases = vec!["tidewater.example=tidewater.test".to_owned()];
        settings.people.ignore_plus_tags = true;
        let app = hub::App::open(settings).await.unwrap();
        let connection = plain.connection().await;
        let report = hub::sync::connection(&app, &connection, Default::default(), &|_| {})
            .await
            .unwrap();
        assert_eq!(report.outcome.as_str(), "complete", "{:?}", report.problems);
        let ben = people::one(&app, "ben.carter@tidewater.test")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ben.email, "ben.carter@tidewater.test");
        let same = people::one(&app, "ben.carter+x@tidewater.example")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(same.id, ben.id);
        assert_eq!(app.store.member_by_person(&ben.id).await.unwrap().len(), 1);
        // Whoever was there under the old domain was merged, and nobody was made twice.
        assert_eq!(app.store.person_count().await.unwrap(), people_before);
        hub::detection::adopt::run(&app).await.unwrap();
        let filter = hub::event::EventFilter {
            person_id: Some(ben.id.clone()),
            limit: 10,
            ..Default::default()
        };
        assert_eq!(hub::event::find(&app, &filter).await.unwrap().events.len(), 1);
        // Rules still know the address that signs in.
        let detail = hub::person_detail::of(&app, &ben).await.unwrap();
        assert!(
            detail
                .grants
                .iter()
                .any(|grant| grant.entitlement_name == "All staff"),
            "{:?}",
            detail.grants
        );
    })
    .await;
}
