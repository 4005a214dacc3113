//! Messages whose channel refuses: what may work later is tried again, the rest is given up, and nobody else waits.

use crate::flow::calls_home;
use crate::kit::{Hub, each, stand_in, story};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use chrono::TimeDelta;
use hub::Actor;
use hub::coaching::campaign::{self, CampaignRequest};
use hub::coaching::deliver;
use model::MessageState;
use sandbox::Sandbox;
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use store::MessageRow;

/// A webhook that answers what it is told, then 200, and counts.
#[derive(Clone, Default)]
struct Webhook {
    answers: Arc<Mutex<Vec<u16>>>,
    asked: Arc<Mutex<usize>>,
}

impl Webhook {
    async fn serve(&self) -> String {
        let webhook = self.clone();
        let take = async move || {
            *webhook.asked.lock().unwrap() += 1;
            let mut answers = webhook.answers.lock().unwrap();
            let status = if answers.is_empty() {
                200
            } else {
                answers.remove(0)
            };
            let wait = if status == 429 { "7" } else { "" };
            (StatusCode::from_u16(status).unwrap(), [("retry-after", wait)])
        };
        format!(
            "{}/hook",
            stand_in(Router::new().route("/hook", post(take))).await
        )
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

async fn coach(hub: &Hub, webhook: &Webhook) {
    let request = CampaignRequest {
        name: "chat".to_owned(),
        rules: vec!["dns-c2".to_owned()],
        channel: "webhook".to_owned(),
        webhook_url: Some(SecretString::from(webhook.serve().await)),
        delivery_limit_minutes: 0,
        test_mode: false,
        enabled: true,
    };
    campaign::put(&hub.app, None, &request, &Actor::CommandLine)
        .await
        .unwrap();
}

async fn messages(hub: &Hub) -> Vec<MessageRow> {
    hub.app.store.message_list(None, None, None, 100).await.unwrap()
}

/// A hub whose campaign has one message to send.
async fn with_message(scratch: store::scratch::Scratch, answers: &[u16]) -> (Sandbox, Hub, Webhook) {
    let sandbox = Sandbox::start(story()).await.unwrap();
    let hub = Hub::start(scratch).await;
    hub.connect(&sandbox).await;
    hub.sync().await;
    let webhook = Webhook {
        answers: Arc::new(Mutex::new(answers.to_vec())),
        ..Webhook::default()
    };
    coach(&hub, &webhook).await;
    let record = calls_home("omar.said@tidewater.example", "2026-11-20T11:30:00Z");
    hub.happen("gateway_dns", &[record]).await;
    (sandbox, hub, webhook)
}

#[tokio::test]
async fn a_message_that_may_go_later_waits_as_long_as_the_channel_says_and_goes_once() {
    each(async |scratch| {
        let (_sandbox, hub, webhook) = with_message(scratch, &[503, 429]).await;
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 0);
        let waits = messages(&hub).await.remove(0);
        assert_eq!((waits.state, waits.attempts), (MessageState::Pending, 1));
        assert!(waits.reason.unwrap().contains("503"));
        hub.clock.advance(TimeDelta::minutes(1));
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 0);
        let told = messages(&hub).await.remove(0);
        assert_eq!(told.next_attempt_at - hub.app.clock.now(), TimeDelta::seconds(7));
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 0, "before its time");
        assert_eq!(webhook.asked(), 2);
        hub.clock.advance(TimeDelta::seconds(7));
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 1);
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 0);
        let sent = messages(&hub).await.remove(0);
        assert_eq!((sent.state, webhook.asked()), (MessageState::Delivered, 3));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_refused_for_good_or_too_often_fails_with_the_reason_and_the_next_goes() {
    each(async |scratch| {
        let (_sandbox, hub, webhook) = with_message(scratch, &[404]).await;
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 0);
        let refused = messages(&hub).await.remove(0);
        assert_eq!((refused.state, refused.attempts), (MessageState::Failed, 1));
        assert!(refused.reason.unwrap().contains("404"));
        let journal = hub.app.store.journal_latest(None, None, 10).await.unwrap();
        assert!(
            journal
                .iter()
                .any(|entry| entry.summary.contains("Message not delivered")),
            "{journal:?}"
        );

        let record = calls_home("hana.kim@tidewater.example", "2026-11-20T11:40:00Z");
        hub.happen("gateway_dns", &[record]).await;
        *webhook.answers.lock().unwrap() = vec![500; 100];
        let attempts = i64::from(hub.app.settings.coaching.attempts);
        for _ in 0..attempts + 2 {
            assert_eq!(deliver::run(&hub.app).await.unwrap(), 0);
            hub.clock.advance(TimeDelta::hours(2));
        }
        let all = messages(&hub).await;
        let given_up = all.iter().find(|message| message.attempts > 1).unwrap();
        assert_eq!(
            (given_up.state, given_up.attempts),
            (MessageState::Failed, attempts)
        );
        assert_eq!(webhook.asked(), 1 + usize::try_from(attempts).unwrap());

        webhook.answers.lock().unwrap().clear();
        let record = calls_home("omar.said@tidewater.example", "2026-11-21T11:40:00Z");
        hub.happen("gateway_dns", &[record]).await;
        assert_eq!(deliver::run(&hub.app).await.unwrap(), 1);
    })
    .await;
}
