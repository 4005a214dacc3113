//! A typed client for the Cloudflare calls that an identity hub needs.
//!
//! It uses Cloudflare's terms and knows nothing about Flareward. Every call goes through [`Client::send`], which stays
//! within the credential's rate limit ([`budget`]), retries calls that are safe to repeat ([`retry`]) and turns a
//! refusal into a typed error with Cloudflare's code, message and ray id ([`error`]). Lists are streams ([`paging`]).
//! Objects keep fields that this crate does not know.
//!
//! Source: Cloudflare's published API description, version 4.

mod access;
mod account;
mod audit;
pub mod budget;
mod client;
pub mod credential;
pub mod error;
mod logpush;
mod objects;
pub mod paging;
pub mod retry;
mod risk_scoring;
mod writes;

pub use access::{AccessGroup, AccessUser, App, IdentityProvider, Organization, Policy};
pub use account::{
    Account, AccountId, Member, Role, RoleReference, SUPER_ADMINISTRATOR_ROLE_ID, TokenStatus, User,
};
pub use audit::AuditWindow;
pub use budget::Priority;
pub use client::{Answer, Client, ClientOptions, RawAnswer, RawCall};
pub use credential::Credential;
pub use error::{ApiMessage, Cause, CloudflareError, Refusal};
pub use logpush::{LogpushJob, NewLogpushJob};
pub use objects::{AccountList, LISTS};
pub use paging::Listed;
pub use risk_scoring::{RiskBehavior, RiskEvent, RiskSummaryUser, UserRisk};
pub use writes::Write;

/// The URL of Cloudflare's API.
pub const DEFAULT_BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// Fields of an object that this crate does not name, kept as received.
pub type Others = serde_json::Map<String, serde_json::Value>;
