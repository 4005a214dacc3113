//! Changing access: plan, guards, write, verify.
//!
//! A change is planned from the object as Cloudflare has it at that moment; guards may refuse it; the whole object
//! is written back; and then it is planned again: when nothing is left to do, it is verified, and when the change
//! is not there, someone else wrote at the same time and it is made once more. Two processes on one store take
//! turns on one object by a lease. Everything is written down before it is done.
//!
//! A [`Request`] says what shall be, a [`Plan`] what that takes, an [`Outcome`] what came of it. Start reading at
//! [`change`]; `make.rs` has its steps.

mod access_user;
mod context;
pub mod cut_off;
mod group;
mod lock;
mod loss;
mod make;
mod member;
pub mod offboard;
mod outcome;
mod plan;
mod planner;
mod request;
mod stored_lists;
pub mod timed;
pub mod undo;
mod whose;
mod write;

pub use outcome::{Changed, Outcome};
pub use plan::{Effect, Ends, Guard, GuardVerdict, Plan, Step, call_in_words};
pub use request::Request;
pub use whose::whose;

use self::context::RequestContext;
use crate::app::{App, ClientError};
use crate::permission::Actor;
use crate::wake::Written;
use cloudflare::CloudflareError;
use model::address;
use serde_json::json;
use std::collections::BTreeSet;
use store::{ConnectionRow, StoreError};

/// How a change is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Why, in the words of whoever asks.
    pub note: Option<String>,
    /// Grant to an address that is in no list yet.
    pub unknown_person: bool,
    /// How long a grant is to last.
    pub lasts: timed::Lasts,
    /// The change that this is a step of.
    pub parent_id: Option<String>,
    /// It takes back a grant whose time is over, and nothing that the grant did not give: what else lets them in stays,
    /// and is told of.
    pub is_expiry: bool,
}

/// Why a change could not even be planned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The connection is gone.
    #[error("no such connection")]
    NoConnection,
    /// The address is none.
    #[error("\"{0}\" is not an email address")]
    Address(String),
    /// More people than one change may concern.
    #[error("{people} people in one change: the maximum is {cap} (setting provisioning.people_per_change)")]
    PeopleCap {
        /// How many were asked for.
        people: usize,
        /// How many are allowed.
        cap: usize,
    },
    /// Others work on the same object for too long.
    #[error("another change to the same object is still running: try again later")]
    Locked,
    /// No client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An id that cannot be put into a path.
    #[error(transparent)]
    Id(CloudflareError),
    /// Cloudflare could not be asked.
    #[error("a request to Cloudflare failed for connection {label}")]
    Cloudflare {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: CloudflareError,
    },
    /// A request that another part plans.
    #[error("internal error: this change is planned by another module")]
    NotHere,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Plans a change and does nothing of it.
///
/// # Errors
///
/// See [`ProvisionError`].
pub async fn preview(app: &App, request: &Request, options: &Options) -> Result<Plan, ProvisionError> {
    let request = canonical(request)?;
    let connection = connection_of(app, &request).await?;
    let context = RequestContext::new(app, &connection, options)?;
    let mut planned = planner::plan(&context, &request).await?;
    timed::plan_end(app, &request, options.lasts, &mut planned).await?;
    Ok(planned)
}

/// Refuses a change of more people than one may concern.
///
/// # Errors
///
/// [`ProvisionError::PeopleCap`].
pub fn people_cap(app: &App, requests: &[Request]) -> Result<(), ProvisionError> {
    let people = requests.iter().map(Request::email).collect::<BTreeSet<_>>().len();
    let cap = app.settings.provisioning.people_per_change;
    if people > cap {
        return Err(ProvisionError::PeopleCap { people, cap });
    }
    Ok(())
}

/// Makes a change: plans, lets the guards judge, writes, verifies, and writes down what became of it.
///
/// # Errors
///
/// See [`ProvisionError`]: then nothing was sent. What Cloudflare or a guard refuses is an outcome, not an error.
pub async fn change(
    app: &App,
    request: &Request,
    options: &Options,
    actor: &Actor,
) -> Result<Changed, ProvisionError> {
    let request = canonical(request)?;
    let connection = connection_of(app, &request).await?;
    let lock = request.lock();
    let lease = lock::lock_wait(app, &lock).await?;
    let work = Box::pin(make::locked(app, &connection, &request, options, actor));
    let result = lease.keep(work).await.unwrap_or(Err(ProvisionError::Locked));
    lease.release().await;
    app.wake.call(Written::Access);
    result
}

async fn connection_of(app: &App, request: &Request) -> Result<ConnectionRow, ProvisionError> {
    app.store
        .connection_get(request.connection())
        .await?
        .ok_or(ProvisionError::NoConnection)
}

/// The request with its address as people are joined by.
fn canonical(request: &Request) -> Result<Request, ProvisionError> {
    let email = address::canonical(request.email())
        .ok_or_else(|| ProvisionError::Address(request.email().to_owned()))?;
    let mut value = serde_json::to_value(request).unwrap_or_default();
    value["email"] = json!(email);
    serde_json::from_value(value).map_err(|_| ProvisionError::Address(request.email().to_owned()))
}
