//! Typed operations that other systems call, by the contract of the capabilities in the field.
//!
//! Every capability takes `{"properties": {…}}` and answers `{"eventName":"continue","output":{…}}`, or
//! `{"eventName":"error","error":{…},"output":{…}}`. The body says everything, so that a caller which ignores
//! HTTP statuses still works. Start reading at [`call`].

mod answer;
mod custom_call;
mod domain_overview;
mod ip_overview;
mod manifest;
mod user_risk;

pub use answer::Outcome;
pub use manifest::manifest;

use crate::app::App;
use crate::audit;
use crate::connection::{self, ChooseError};
use crate::permission::{Actor, Permission};
use answer::{Failure, Upstream};
use cloudflare::{AccountId, Client};
use model::ConnectionState;
use serde_json::{Value, json};
use store::ConnectionRow;

/// The ids of all capabilities.
pub const IDS: &[&str] = &[
    "getIPOverview",
    "getDomainOverview",
    "getUserRiskScore",
    "resetUserRiskScore",
    "makeCustomApiCall",
];

/// What a capability works with.
struct Context<'a> {
    app: &'a App,
    id: &'static str,
    account: AccountId,
    client: Client,
    connection: &'a ConnectionRow,
    properties: &'a serde_json::Map<String, Value>,
}

/// The permission that a capability needs.
pub fn permission(id: &str) -> Option<Permission> {
    IDS.contains(&id).then_some(match id {
        "makeCustomApiCall" => Permission::ApiCallRead,
        "resetUserRiskScore" => Permission::RiskWrite,
        _ => Permission::CapabilitiesCall,
    })
}

/// Calls a capability through a connection (label or id; `None` when there is only one). `None`: there is no
/// capability of this id.
pub async fn call(
    app: &App,
    id: &str,
    connection: Option<&str>,
    input: &Value,
    actor: &Actor,
) -> Option<Outcome> {
    let id = *IDS.iter().find(|known| **known == id)?;
    let result = run(app, id, connection, input, actor).await;
    Some(match result {
        Ok(output) => Outcome::success(output),
        Err(failure) => failure.into_outcome(id),
    })
}

async fn run(
    app: &App,
    id: &'static str,
    connection: Option<&str>,
    input: &Value,
    actor: &Actor,
) -> Result<Value, Failure> {
    let properties = input
        .get("properties")
        .and_then(Value::as_object)
        .ok_or_else(|| {
            Failure::input(
                "/properties",
                "the input must have the form {\"properties\": {…}}",
            )
        })?;
    let connection = find(app, connection).await?;
    if connection.state == ConnectionState::Paused {
        return Err(Failure::paused(
            &connection.label,
            connection.state_reason.as_deref(),
        ));
    }
    let account = AccountId::parse(&connection.account_id)
        .ok_or_else(|| Failure::internal("the stored account ID is invalid"))?;
    let client = app
        .client(&connection)
        .map_err(|error| Failure::internal(&crate::causes(&error)))?;
    let context = Context {
        app,
        id,
        account,
        client,
        connection: &connection,
        properties,
    };
    match id {
        "getIPOverview" => ip_overview::call(&context).await,
        "getDomainOverview" => domain_overview::call(&context).await,
        "getUserRiskScore" => user_risk::get(&context).await,
        "resetUserRiskScore" => user_risk::reset(&context, actor).await,
        _ => custom_call::call(&context, actor).await,
    }
}

async fn find(app: &App, wanted: Option<&str>) -> Result<ConnectionRow, Failure> {
    connection::choose(app, wanted)
        .await
        .map_err(|error| match error {
            ChooseError::Store(error) => Failure::internal(&crate::causes(&error)),
            error => Failure::input("/connection", &error.to_string()),
        })
}

impl Context<'_> {
    /// A required text property.
    fn text(&self, name: &str) -> Result<&str, Failure> {
        match self.properties.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim()),
            Some(Value::String(_)) | None | Some(Value::Null) => {
                Err(Failure::input(&format!("/properties/{name}"), "is required"))
            }
            Some(_) => Err(Failure::input(&format!("/properties/{name}"), "must be a string")),
        }
    }

    /// GETs below the account, once more after a passing fault.
    async fn get(&self, rest: &str, query: &[(&str, &str)]) -> Result<Upstream, Failure> {
        let path = format!("/accounts/{}{rest}", self.account);
        Upstream::fetch(&self.client, reqwest::Method::GET, &path, query).await
    }

    async fn record(
        &self,
        actor: &Actor,
        target: &str,
        outcome: model::AuditOutcome,
        detail: Value,
    ) -> Result<(), Failure> {
        let mut detail = detail;
        detail["connection"] = json!(self.connection.label);
        audit::record(
            self.app,
            actor,
            model::AuditAction::CapabilityCall,
            &format!("{} {target}", self.id),
            outcome,
            detail,
        )
        .await
        .map_err(|error| Failure::internal(&crate::causes(&error)))
    }
}
