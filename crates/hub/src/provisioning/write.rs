//! Writes to Cloudflare until a new plan finds nothing left to do.
//!
//! Calls Cloudflare as the plan says, and plans again from what is there then. Never takes a call's answer as proof, and
//! writes nothing down: that is [`super::make`]'s. Start reading at [`work`].

use super::ProvisionError;
use super::context::RequestContext;
use super::outcome::{Changed, Outcome};
use super::plan::{Guard, Plan, Step};
use super::planner::route;
use super::request::Request;
use super::stored_lists::{keep, note_new_member};
use crate::fault;
use cloudflare::CloudflareError;
use std::time::Duration;

/// How often a change that was lost, or whose write failed, is made again.
const ATTEMPTS: usize = 5;

/// Writes until a new plan finds nothing left to do.
pub(super) async fn work(
    context: &mut RequestContext<'_>,
    request: &Request,
    mut planned: Plan,
    made: &mut Changed,
) -> Result<(), ProvisionError> {
    let mut last_failure: Option<CloudflareError> = None;
    let mut has_looked_again = false;
    loop {
        match planned.step.clone() {
            Step::Already { .. } if made.writes > 0 => {
                // Someone who read the object before our write may put it back the way it was.
                if !has_looked_again && needs_second_look(request) {
                    has_looked_again = true;
                    let wait = context.app.settings.provisioning.second_look_ms;
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                } else {
                    made.outcome = Outcome::Changed;
                    made.remains.extend(planned.remains);
                    made.remains.sort();
                    made.remains.dedup();
                    return Ok(());
                }
            }
            Step::Already { reason } => {
                made.outcome = Outcome::Already;
                made.reason = Some(reason);
                made.remains = planned.remains.clone();
                made.plan = planned;
                return Ok(());
            }
            Step::Refused { guard, reason } => {
                made.outcome = if made.writes > 0 {
                    Outcome::Unverified
                } else {
                    Outcome::Refused
                };
                made.guard = Some(guard);
                made.reason = Some(reason);
                if made.writes == 0 {
                    made.plan = planned;
                }
                return Ok(());
            }
            Step::Write if made.writes >= ATTEMPTS => {
                let why = last_failure.as_ref().map_or(
                    "another client keeps changing the same object".to_owned(),
                    |error| crate::causes(error),
                );
                made.outcome = Outcome::Unverified;
                made.reason = Some(format!(
                    "the change was not found in Cloudflare after {ATTEMPTS} writes: {why}"
                ));
                return Ok(());
            }
            Step::Write => {
                made.plan = planned.clone();
                made.remains.clone_from(&planned.remains);
                has_looked_again = false;
                let mut result = Ok(None);
                for call in &planned.calls {
                    made.writes += 1;
                    result = context.client.make(&context.account, call).await;
                    fault::point("change.sent");
                    if result.is_err() {
                        break;
                    }
                }
                match result {
                    Ok(answer) => {
                        last_failure = None;
                        note_new_member(context, request, answer.as_ref()).await?;
                    }
                    Err(CloudflareError::Refused(refusal)) if refusal.status < 500 => {
                        made.outcome = Outcome::Refused;
                        made.guard = Some(Guard::Cloudflare);
                        made.reason = Some(format!("Cloudflare rejected the request: {refusal}"));
                        made.writes -= 1;
                        return Ok(());
                    }
                    Err(error @ CloudflareError::RateLimited { .. }) => {
                        made.outcome = Outcome::Refused;
                        made.guard = Some(Guard::RateLimited);
                        made.reason = Some(crate::causes(&error));
                        made.writes -= 1;
                        return Ok(());
                    }
                    // Whether it was taken is not known: what is there now says so.
                    Err(error) => {
                        last_failure = Some(error);
                        note_new_member(context, request, None).await?;
                    }
                }
                context.has_written = true;
            }
        }
        planned = match plan_again(context, request).await {
            Ok(plan) => plan,
            Err(ProvisionError::Cloudflare { source, .. }) => {
                made.outcome = Outcome::Unverified;
                made.reason = Some(format!(
                    "the change was sent but could not be read back: {}",
                    crate::causes(&source)
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
    }
}

/// Whether a whole object was written, which another's write can undo unnoticed.
fn needs_second_look(request: &Request) -> bool {
    matches!(
        request,
        Request::GroupGrant { .. }
            | Request::GroupRevoke { .. }
            | Request::GroupUnexclude { .. }
            | Request::RoleGrant { .. }
            | Request::RoleRevoke { .. }
            | Request::MemberRolesSet { .. }
            | Request::MemberPoliciesSet { .. }
    )
}

/// Plans from what Cloudflare has now, and keeps that: the guards of the next change look at the stored lists.
pub(super) async fn plan_again(
    context: &RequestContext<'_>,
    request: &Request,
) -> Result<Plan, ProvisionError> {
    let mut planned = route(context, request).await?;
    planned.name_ids();
    keep(context, &planned).await?;
    Ok(planned)
}
