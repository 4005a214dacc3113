//! Events after the story: a few ordinary events at regular intervals with the current time, and occasionally a risky
//! one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::ids::Ids;
use crate::logpush::delivery;
use crate::shared::Shared;
use crate::story::script::Script;
use crate::story::week;
use crate::world::people;

/// The time limit for delivering one round of events.
const PATIENCE: Duration = Duration::from_secs(30);

/// One round in this number contains a risky event.
const RISKY_ONCE_IN: usize = 5;

/// Starts it, or restarts it with another interval.
pub(crate) fn start(shared: &Arc<Shared>, interval: Duration) {
    let going_on = Arc::clone(shared);
    let task = tokio::spawn(async move {
        let mut round = 0_u64;
        while !going_on.stopping.is_cancelled() {
            round += 1;
            play_round(&going_on, round).await;
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = going_on.stopping.cancelled() => {}
            }
        }
    });
    shared.trickle.run(task);
}

async fn play_round(shared: &Arc<Shared>, round: u64) {
    let now = shared.clock.now();
    let ids = Ids::new(shared.config.seed, &format!("trickle {round}"));
    let (items, first_number) = {
        let mut world = shared.world();
        let mut script = Script::new(ids, &world, &people::cast(shared.config.seed));
        for _ in 0..script.ids.between(1, 4) {
            let at = script.ids.below(script.actors.len());
            let actor = script.actors[at].clone();
            week::ordinary_visit(&mut script, &actor, now - TimeDelta::seconds(2));
            if script.ids.once_in(3) {
                script.login(&actor, now, true, actor.connection);
            }
        }
        if script.ids.once_in(RISKY_ONCE_IN) {
            match script.ids.below(6) {
                0 => week::keeps_meeting_phishing(&mut script, &[now - TimeDelta::minutes(1)]),
                1 => week::uploads_customers_to_ai(&mut script, now - TimeDelta::minutes(15)),
                2 => week::downloads_a_bad_file(&mut script, now - TimeDelta::seconds(5)),
                3 => week::switches_the_client_off(&mut script, now - TimeDelta::hours(6)),
                4 => week::is_locked_out(&mut script, now - TimeDelta::minutes(12)),
                _ => week::clicks_a_mailed_link(&mut script, now - TimeDelta::minutes(35)),
            }
        }
        world.access_logins.append(&mut script.logins);
        world.audit.append(&mut script.audit);
        let first_number = shared
            .story
            .next_number
            .fetch_add(script.items.len(), Ordering::Relaxed);
        (script.items, first_number)
    };
    let outcome = delivery::deliver(shared, &items, first_number, Instant::now() + PATIENCE).await;
    for left in outcome.undelivered {
        tracing::warn!("gave up on {left}");
    }
}
