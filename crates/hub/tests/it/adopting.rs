//! Logs that come in before their people are known.

use crate::kit::{Hub, each, story};
use hub::event::EventFilter;
use model::RiskLevel;
use sandbox::Sandbox;
use serde_json::json;
use store::DetectionFilter;

const INES: &str = "ines.moreau@tidewater.example";

fn login(country: &str, minute: u32) -> serde_json::Value {
    json!({
        "Action": "login", "Allowed": true, "AppUUID": "app", "Connection": "okta", "Country": country,
        "CreatedAt": format!("2026-01-05T10:{minute:02}:00Z"), "Email": "Ines.Moreau@tidewater.example",
        "RayID": format!("ray-{country}-{minute}"),
    })
}

#[tokio::test]
async fn events_from_before_the_first_sync_find_their_person_and_count() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        let query = json!({
            "Datetime": "2026-01-05T10:00:00Z", "QueryID": "q", "QueryName": "bad.example", "Email": INES,
            "QueryCategoryIDs": [131],
        });
        let nobody = json!({
            "Datetime": "2026-01-05T10:00:00Z", "QueryID": "n", "QueryName": "bad.example",
            "Email": "non_identity@tidewater.cloudflareaccess.com", "QueryCategoryIDs": [131],
        });
        hub.happen("gateway_dns", &[query, nobody]).await;
        // Which of the two countries is impossible can only be told once both logins are hers.
        hub.happen("access_requests", &[login("fr", 1)]).await;
        hub.happen("access_requests", &[login("sg", 40)]).await;
        let store = &hub.app.store;
        assert!(store.person_by_email(INES).await.unwrap().is_none());
        assert_eq!(store.unmapped_list(None, 10).await.unwrap().len(), 3);

        hub.sync().await;
        hub.pipeline().await;
        let ines = store.person_by_email(INES).await.unwrap().unwrap();
        assert_eq!(ines.risk_level, RiskLevel::High, "impossible travel is high");
        let filter = EventFilter {
            person_id: Some(ines.id.clone()),
            limit: 10,
            ..EventFilter::default()
        };
        assert_eq!(hub::event::find(&hub.app, &filter).await.unwrap().events.len(), 3);
        let filter = DetectionFilter {
            person_id: Some(ines.id),
            limit: 10,
            ..DetectionFilter::default()
        };
        let mut rules: Vec<String> = store
            .detection_list(&filter)
            .await
            .unwrap()
            .into_iter()
            .map(|found| found.rule_name)
            .collect();
        rules.sort();
        assert_eq!(rules, ["acc-travel", "dns-phishing"]);
        let left = store.unmapped_list(None, 10).await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].identifier.starts_with("non_identity@"));
    })
    .await;
}
