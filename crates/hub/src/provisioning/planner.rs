//! Plans a request: first the guards that concern every change, then the part that knows the object.
//!
//! Reads the connection, the state of its lists, and the object at Cloudflare. Writes nothing. Start reading at [`plan`].

use super::context::RequestContext;
use super::plan::{Guard, Plan};
use super::request::Request;
use super::{ProvisionError, access_user, group, member};
use chrono::TimeDelta;
use model::ConnectionState;

/// Asks the guards that concern every change, then plans.
pub(super) async fn plan(context: &RequestContext<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    let label = &context.connection.label;
    let blank = || Plan::new(request, label, "connection");
    let connection = context.connection;
    if matches!(
        connection.state,
        ConnectionState::Paused | ConnectionState::Failed | ConnectionState::New
    ) {
        let why = connection.state_reason.clone().unwrap_or_default();
        return Ok(blank().refused(
            Guard::ConnectionPaused,
            format!("connection {label} is {}: {why}", connection.state),
        ));
    }
    if let Some(stale) = stale(context, request).await? {
        return Ok(blank().refused(Guard::ListStale, stale));
    }
    let mut planned = route(context, request).await?;
    planned.name_ids();
    planned.passes(Guard::ConnectionPaused, format!("connection {label} is active"));
    planned.passes(
        Guard::ListStale,
        "the lists that the guards use are complete and current",
    );
    Ok(planned)
}

pub(super) async fn route(context: &RequestContext<'_>, request: &Request) -> Result<Plan, ProvisionError> {
    match request {
        Request::GroupGrant { .. } | Request::GroupRevoke { .. } | Request::GroupUnexclude { .. } => {
            group::plan(context, request).await
        }
        Request::AccessUserCreate { .. }
        | Request::AccessUserRemove { .. }
        | Request::SeatsFree { .. }
        | Request::SessionsRevoke { .. } => access_user::plan(context, request).await,
        _ => member::plan(context, request).await,
    }
}

/// Why a list that the guards judge by cannot be relied on.
async fn stale(context: &RequestContext<'_>, request: &Request) -> Result<Option<String>, ProvisionError> {
    let listings = context.app.store.listing_list(&context.connection.id).await?;
    let hours =
        i64::try_from(context.app.settings.provisioning.stale_after_hours).unwrap_or(i64::MAX / 10_000);
    let oldest = context.app.clock.now() - TimeDelta::hours(hours);
    for kind in request.lists() {
        let words = kind.replace('_', " ");
        let row = listings.iter().find(|row| row.kind.as_str() == *kind);
        let Some(complete_at) = row.and_then(|row| row.complete_at) else {
            return Ok(Some(format!(
                "the list of {words} has never been read: run `flareward sync`"
            )));
        };
        if let Some(reason) = row.and_then(|row| row.stale_reason.as_ref()) {
            return Ok(Some(format!(
                "the list of {words} is stale ({reason}): run `flareward sync`"
            )));
        }
        if complete_at < oldest {
            return Ok(Some(format!(
                "the list of {words} is from {}, more than {hours} hours ago: run `flareward sync`",
                complete_at.format("%Y-%m-%d %H:%M UTC")
            )));
        }
    }
    Ok(None)
}
