//! `/metrics` in Prometheus' text form: counters that the stages and the server keep, and gauges read from the
//! store when they are asked for.

use crate::error::ApiError;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hub::App;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bounds of the buckets for request durations, in seconds. Chosen freely; nothing depends on them.
const REQUEST_SECONDS: &[f64] = &[0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0];

/// Interval for merging samples into buckets, so that they do not accumulate when nobody reads the metrics.
const UPKEEP: Duration = Duration::from_secs(5);

pub(crate) fn router() -> Router<App> {
    handle();
    Router::new().route("/metrics", get(show))
}

/// The recorder of this process, installed on first use. If the program has already installed another one, that one
/// gets the counters, and `/metrics` shows only the gauges.
fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full("flareward_http_request_seconds".to_owned()),
                REQUEST_SECONDS,
            )
            .expect("the bounds are not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics shows only gauges");
        }
        handle
    })
}

/// Limits the recorder's memory until `stop`.
pub(crate) async fn upkeep(stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        handle().run_upkeep();
    }
}

async fn show(State(app): State<App>) -> Result<Response, ApiError> {
    let overview = app.store.overview().await?;
    let batches = app.store.batch_counts(None).await?;
    let gauges = [
        ("flareward_people", overview.people),
        ("flareward_people_at_risk", overview.people_at_risk),
        ("flareward_connections", overview.connections),
        ("flareward_events", overview.events),
        ("flareward_rejects", overview.rejects),
        ("flareward_detections", overview.detections),
        ("flareward_batches_pending", batches.pending),
        ("flareward_batches_failed", batches.failed),
        ("flareward_signals_waiting", app.store.signal_waiting().await?),
        ("flareward_messages_waiting", app.store.message_waiting().await?),
    ];
    let mut text = handle().render();
    for (name, value) in gauges {
        text.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
