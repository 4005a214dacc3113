//! The stages, from a simulated Cloudflare account to what receivers and people get, on both engines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod addresses;
mod adopting;
mod again;
mod both_paths;
mod capabilities;
mod carrying_over;
mod coaching;
mod compacting;
mod connecting;
mod cut_off;
mod detecting;
mod exporting;
mod flow;
mod forgetting;
mod full_archive;
mod ingesting;
mod killed_stages;
mod killed_upkeep;
mod kit;
mod letter_case;
mod log_objects;
mod log_sources;
mod loops;
mod map;
mod posture;
mod provisioning;
mod pulled_logs;
mod rules;
mod sealing_key;
mod sweeping;
mod syncing;

/// Whoever runs a hub spawns these.
#[tokio::test]
async fn the_stages_may_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    kit::each(async |scratch| {
        let hub = kit::Hub::start(scratch).await;
        let stop = tokio_util::sync::CancellationToken::new();
        spawnable(hub::driver::run(hub.app.clone(), stop));
        spawnable(hub::driver::pass(&hub.app));
        spawnable(hub::sync::all(&hub.app));
        spawnable(hub::risk::run(&hub.app));
        spawnable(hub::posture::run_due(&hub.app));
        spawnable(hub::source::run(&hub.app));
    })
    .await;
}
