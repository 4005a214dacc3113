//! What checks look at: everything about one connection, loaded once.
//!
//! Reads the store, writes nothing. A list that is stale, dark or was never read is a [`Known`] error that says
//! so: no check can take it for an empty list. Start reading at [`Facts::load`].

use super::check::{Unknown, permission, words};
use crate::access::dashboard::{self, Dashboard, Role, Seat, UserGroup};
use crate::access::rule::Selector;
use crate::app::App;
use crate::people;
use chrono::{DateTime, Utc};
use model::{ConnectionId, CredentialKind, RiskLevel, address};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use store::{
    AccessUserRow, ConnectionRow, IntegrationRow, LIST_LIMIT_MAX, ListingRow, MemberRow, PersonFilter,
    StoreError,
};

/// Something that was read, or why it was not.
pub type Known<T> = Result<T, Unknown>;

/// Groups nested deeper than this are not followed. Chosen: far beyond any sensible nesting.
const DEPTH_MAX: usize = 16;

/// Reads ids with a time to their end, page by page.
macro_rules! by_id {
    (|$after:ident| $call:expr) => {{
        let mut all = HashMap::new();
        let mut $after = String::new();
        loop {
            let rows = $call;
            let Some((last, _)) = rows.last() else { break };
            $after.clone_from(last);
            all.extend(rows);
        }
        all
    }};
}

/// Reads rows of connection and id to their end, page by page.
macro_rules! to_the_end {
    (|$after:ident| $call:expr, $row:ident => $thing:expr) => {{
        let mut all = Vec::new();
        let mut place: Option<(String, String)> = None;
        loop {
            let $after = place
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let rows = $call;
            let Some(last) = rows.last() else { break };
            place = Some((last.connection_id.0.clone(), last.id.clone()));
            for $row in rows {
                all.push($thing);
            }
        }
        all
    }};
}

/// Everything about one connection.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When.
    pub now: DateTime<Utc>,
    /// The connection.
    pub connection: Connection,
    /// The account with its settings.
    pub account: Known<Value>,
    /// Those who may log in to the dashboard.
    pub members: Known<Vec<Member>>,
    /// Zero Trust users.
    pub access_users: Known<Vec<User>>,
    /// Access groups.
    pub groups: Known<Vec<Object>>,
    /// Applications.
    pub apps: Known<Vec<Object>>,
    /// Reusable policies.
    pub policies: Known<Vec<Object>>,
    /// Identity providers.
    pub identity_providers: Known<Vec<Object>>,
    /// Service tokens.
    pub service_tokens: Known<Vec<Object>>,
    /// API tokens of the account.
    pub account_tokens: Known<Vec<Object>>,
    /// What tokens may be allowed.
    pub permission_groups: Known<Vec<Object>>,
    /// Over what policies of members can reach.
    pub resource_groups: Known<Vec<Object>>,
    /// User groups of the account.
    pub user_groups: Known<Vec<Object>>,
    /// Memberships in these, by group.
    pub user_group_members: Known<Vec<Object>>,
    /// Zero Trust lists.
    pub lists: Known<Vec<Object>>,
    /// What is on those that rules name.
    pub list_items: Known<Vec<Object>>,
    /// When the oldest sync that is kept began.
    pub first_run_at: Option<DateTime<Utc>>,
    /// Members who were Access users, with when they were last one.
    pub user_gone: HashMap<String, DateTime<Utc>>,
    /// The account's audit log, as far as it was delivered.
    pub audit: Known<Audit>,
    /// Further addresses of people, in lower case.
    pub aliases: HashSet<String>,
    /// People of this account who stand at high risk.
    pub high_risk: Vec<HighRisk>,
    /// Risk score integrations of this account that are not removed.
    pub integrations: Vec<Integration>,
}

/// The connection itself.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Our id.
    pub id: ConnectionId,
    /// Its label.
    pub label: String,
    /// Cloudflare's id of the account.
    pub account_id: String,
    /// The account's name.
    pub account_name: String,
    /// What signs the calls.
    pub credential_kind: CredentialKind,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the last sync ended well.
    pub synced_at: Option<DateTime<Utc>>,
    /// Why it stands where it stands.
    pub state_reason: Option<String>,
}

/// A member.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// The membership's id.
    pub id: String,
    /// As Cloudflare writes it.
    pub email: String,
    /// `accepted`, `pending`, ….
    pub status: String,
    /// `None`: Cloudflare does not say.
    pub two_factor: Option<bool>,
    /// Ids and names of the roles.
    pub roles: Vec<Role>,
    /// Policies as Cloudflare gives them.
    pub policies: Vec<Value>,
    /// The person behind the address.
    pub person_id: Option<String>,
    /// When a sync that is kept found this member new.
    pub added_at: Option<DateTime<Utc>>,
}

impl Member {
    /// As [`Dashboard`] judges members.
    pub fn seat(&self) -> Seat<'_> {
        Seat {
            id: &self.id,
            email: &self.email,
            roles: &self.roles,
            policies: &self.policies,
        }
    }
}

/// A Zero Trust user.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Cloudflare's id.
    pub id: String,
    /// As Cloudflare writes it.
    pub email: String,
    /// Whether an Access seat is taken.
    pub access_seat: Option<bool>,
    /// Whether a Gateway seat is taken.
    pub gateway_seat: Option<bool>,
    /// Last successful login.
    pub last_login_at: Option<DateTime<Utc>>,
    /// When Cloudflare made the user.
    pub created_at: Option<DateTime<Utc>>,
    /// The person behind the address.
    pub person_id: Option<String>,
}

/// An object as Cloudflare gives it.
#[derive(Debug, Clone)]
pub struct Object {
    /// Cloudflare's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// All of it.
    pub raw: Value,
}

/// What the account's audit log says.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Its oldest entry that was delivered.
    pub first_at: DateTime<Utc>,
    /// The last entry of each person.
    pub last_by_person: HashMap<String, DateTime<Utc>>,
}

/// Someone at high risk.
#[derive(Debug, Clone)]
pub struct HighRisk {
    /// Who.
    pub person_id: String,
    /// Their address.
    pub email: String,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

/// A risk score integration.
#[derive(Debug, Clone)]
pub struct Integration {
    /// Its id.
    pub id: String,
    /// Where it sends.
    pub tenant_url: String,
    /// The identity provider that it names.
    pub reference_id: Option<String>,
    /// Whether it is switched on.
    pub active: bool,
    /// Why nothing is sent although it is.
    pub suspended_reason: Option<String>,
}

/// A policy where it is used: of an application, or reusable.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// All of it.
    pub raw: &'a Value,
}

impl<'a> Policy<'a> {
    /// Its id.
    pub fn id(&self) -> &'a str {
        self.raw["id"].as_str().unwrap_or_default()
    }
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.raw["name"].as_str().unwrap_or_default()
    }
    /// What it does.
    pub fn decision(&self) -> &'a str {
        self.raw["decision"].as_str().unwrap_or_default()
    }
}

macro_rules! known_lists {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)+) => {
        $($(#[$doc])*
        ///
        /// # Errors
        ///
        /// Why it is not known.
        pub fn $name(&self) -> Known<&[$type]> {
            self.$name.as_deref().map_err(Clone::clone)
        })+
    };
}

impl Facts {
    known_lists! {
        /// Members.
        members: Member;
        /// Access users.
        access_users: User;
        /// Access groups.
        groups: Object;
        /// Applications.
        apps: Object;
        /// Reusable policies.
        policies: Object;
        /// Identity providers.
        identity_providers: Object;
        /// Service tokens.
        service_tokens: Object;
        /// API tokens of the account.
        account_tokens: Object;
        /// Zero Trust lists.
        lists: Object;
    }

    /// Loads everything about a connection.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub async fn load(app: &App, connection: &ConnectionRow) -> Result<Facts, StoreError> {
        let (store, id) = (&app.store, &connection.id);
        let listings: HashMap<&'static str, ListingRow> = store
            .listing_list(id)
            .await?
            .into_iter()
            .map(|row| (row.kind.as_str(), row))
            .collect();
        let whole = |kind: &str| is_whole(kind, listings.get(kind));
        let account = objects(app, id, "account", &listings).await?;
        let (members, access_users) = (members(app, id).await?, users(app, id).await?);
        let people: HashSet<String> = members
            .iter()
            .filter_map(|member| member.person_id.clone())
            .chain(access_users.iter().filter_map(|user| user.person_id.clone()))
            .collect();
        let integrations = store.integration_list(Some(&connection.account_id)).await?;
        Ok(Facts {
            now: app.clock.now(),
            connection: Connection {
                id: id.clone(),
                label: connection.label.clone(),
                account_id: connection.account_id.clone(),
                account_name: connection.account_name.clone(),
                credential_kind: connection.credential_kind,
                created_at: connection.created_at,
                synced_at: connection.synced_at,
                state_reason: connection.state_reason.clone(),
            },
            account: account.and_then(|found| match found.into_iter().next() {
                Some(account) => Ok(account.raw),
                None => Err(Unknown("the account settings were not read".to_owned())),
            }),
            members: whole("members").map(|()| members),
            access_users: whole("access_users").map(|()| access_users),
            groups: match whole("access_groups") {
                Ok(()) => Ok(access_groups(app, id).await?),
                Err(unknown) => Err(unknown),
            },
            apps: objects(app, id, "apps", &listings).await?,
            policies: objects(app, id, "policies", &listings).await?,
            identity_providers: objects(app, id, "identity_providers", &listings).await?,
            service_tokens: objects(app, id, "service_tokens", &listings).await?,
            account_tokens: objects(app, id, "account_tokens", &listings).await?,
            permission_groups: objects(app, id, "permission_groups", &listings).await?,
            resource_groups: objects(app, id, "resource_groups", &listings).await?,
            user_groups: objects(app, id, "user_groups", &listings).await?,
            user_group_members: objects(app, id, "user_group_members", &listings).await?,
            lists: objects(app, id, "lists", &listings).await?,
            list_items: objects(app, id, "list_items", &listings).await?,
            first_run_at: store.posture_run_first(id).await?,
            user_gone: by_id!(|after| store.posture_user_gone(id, &after, LIST_LIMIT_MAX).await?),
            audit: audit(app, id).await?,
            aliases: aliases(app).await?,
            high_risk: high_risk(app, &people).await?,
            integrations: integrations.into_iter().map(Integration::from).collect(),
        })
    }

    /// What members are judged by.
    pub fn dashboard(&self) -> Dashboard {
        let whole = |list: &Known<Vec<Object>>| list.clone().unwrap_or_default();
        let resources = whole(&self.resource_groups)
            .into_iter()
            .map(|one| (one.id, one.raw));
        let names = whole(&self.permission_groups)
            .into_iter()
            .map(|one| (one.id, one.name));
        let gap = self.user_groups.as_ref().err().map(|unknown| unknown.0.clone());
        let groups = self.user_groups.iter().flatten().map(|group| UserGroup {
            id: group.id.clone().into(),
            name: group.name.clone().into(),
            policies: dashboard::policies_of(&group.raw).to_vec(),
            members: match &self.user_group_members {
                Err(unknown) => Err(unknown.0.clone()),
                Ok(contents) => match contents.iter().find(|content| content.id == group.id) {
                    Some(content) => match content.raw["members"].as_array() {
                        Some(members) => Ok(dashboard::user_group_members(members.iter())),
                        None => Err("its members were not stored".to_owned()),
                    },
                    None => Err("its members were not read".to_owned()),
                },
            },
        });
        Dashboard::new(
            &self.connection.account_id,
            resources,
            names,
            groups.collect(),
            gap,
        )
    }

    /// The policies of an application, and how many of those it names could not be read.
    pub fn policies_of<'a>(&'a self, app: &'a Object) -> (Vec<Policy<'a>>, usize) {
        // What Cloudflare did not give is not "none".
        let mut missing = usize::from(!app.raw["policies"].is_array());
        let mut found = Vec::new();
        for given in app.raw["policies"].as_array().into_iter().flatten() {
            // A reference may be an id alone, or an object that has the rules or only names them.
            if given.get("include").is_some() {
                found.push(Policy { raw: given });
                continue;
            }
            let id = given
                .as_str()
                .or_else(|| given["id"].as_str())
                .unwrap_or_default();
            let reusable = self.policies.as_ref().ok();
            match reusable.and_then(|all| all.iter().find(|policy| policy.id == id)) {
                Some(policy) => found.push(Policy { raw: &policy.raw }),
                None => missing += 1,
            }
        }
        (found, missing)
    }

    /// Whether the rules let in anyone at all: everyone is included and nothing is required.
    ///
    /// # Errors
    ///
    /// When that depends on a group that is not known.
    pub fn lets_everyone_in(&self, rules: &Value) -> Known<bool> {
        self.everyone(rules, 0)
    }

    fn everyone(&self, rules: &Value, depth: usize) -> Known<bool> {
        if depth > DEPTH_MAX {
            return Err(Unknown("groups are nested too deeply to evaluate".to_owned()));
        }
        let mut unknown = None;
        let mut is_everyone = |rule: &Value| match Selector::read(rule) {
            Selector::Everyone => true,
            Selector::Group(id) => match self
                .group(&id)
                .and_then(|group| self.everyone(&group.raw, depth + 1))
            {
                Ok(everyone) => everyone,
                Err(reason) => {
                    unknown.get_or_insert(reason);
                    false
                }
            },
            _ => {
                ["0.0.0.0/0", "::/0"].contains(&rule.pointer("/ip/ip").and_then(Value::as_str).unwrap_or(""))
            }
        };
        let list = |name: &str| rules[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut any = false;
        for rule in list("include") {
            any |= is_everyone(rule);
        }
        // What is required narrows, unless it is everyone too.
        let required = any && list("require").iter().all(&mut is_everyone);
        match unknown {
            _ if any && required => Ok(true),
            Some(unknown) => Err(unknown),
            None => Ok(false),
        }
    }

    /// The Access group with this id.
    ///
    /// # Errors
    ///
    /// When there is none, or the groups are not known.
    pub fn group(&self, id: &str) -> Known<&Object> {
        self.groups()?
            .iter()
            .find(|group| group.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| {
                Unknown(format!(
                    "a rule references the Access group {id}, which is not listed"
                ))
            })
    }

    /// Whether someone with this address signs in to the dashboard through the account's own identity provider:
    /// an application of type `dash_sso` lets the address in. There is no list of the domains of SSO.
    ///
    /// # Errors
    ///
    /// When the applications are not known.
    pub fn signs_in_by_sso(&self, address: &str) -> Known<bool> {
        let address = address::compared(address);
        let domain = address::domain_of(&address);
        for app in self.apps()?.iter().filter(|app| app.raw["type"] == "dash_sso") {
            let (policies, _) = self.policies_of(app);
            for policy in policies.iter().filter(|policy| policy.decision() == "allow") {
                let include = policy.raw["include"].as_array().into_iter().flatten();
                for rule in include {
                    let matches = match Selector::read(rule) {
                        Selector::Everyone => true,
                        Selector::Email(email) => *email == *address,
                        Selector::EmailDomain(named) => Some(&*named) == domain,
                        _ => false,
                    };
                    if matches {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

impl From<IntegrationRow> for Integration {
    fn from(row: IntegrationRow) -> Self {
        Self {
            id: row.id.0,
            tenant_url: row.tenant_url,
            reference_id: row.reference_id,
            active: row.active,
            suspended_reason: row.suspended_reason,
        }
    }
}

/// A time in an object, under one of these names.
pub fn time(raw: &Value, name: &str) -> Option<DateTime<Utc>> {
    let text = raw.get(name)?.as_str()?;
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|at| at.with_timezone(&Utc))
}

/// The domain of an address, in lower case.
pub fn domain(address: &str) -> Option<String> {
    let address = address::canonical(address)?;
    address::domain_of(&address).map(str::to_owned)
}

/// Whether a list was read to its end and is not stale.
fn is_whole(kind: &str, listing: Option<&ListingRow>) -> Known<()> {
    let (words, permission) = (words(kind), permission(kind));
    match listing {
        None => Err(Unknown(format!(
            "{words} have never been read: run `flareward sync` (requires the permission \"{permission}\")"
        ))),
        Some(ListingRow {
            stale_reason: Some(reason),
            ..
        }) if reason.contains(permission) => Err(Unknown(reason.clone())),
        Some(ListingRow {
            stale_reason: Some(reason),
            ..
        }) => Err(Unknown(format!("the list of {words} is stale: {reason}"))),
        Some(ListingRow {
            complete_at: None, ..
        }) => Err(Unknown(format!(
            "{words} have never been fully read: run `flareward sync`"
        ))),
        Some(_) => Ok(()),
    }
}

/// Rows with large objects that are read at once.
const LARGE_ROWS: i64 = 200;

async fn objects(
    app: &App,
    id: &ConnectionId,
    kind: &str,
    listings: &HashMap<&'static str, ListingRow>,
) -> Result<Known<Vec<Object>>, StoreError> {
    if let Err(unknown) = is_whole(kind, listings.get(kind)) {
        return Ok(Err(unknown));
    }
    Ok(Ok(to_the_end!(
        |after| app.store.account_object_list(kind, Some(id), after, LARGE_ROWS).await?,
        row => Object { raw: row.raw_json()?, id: row.id, name: row.name })))
}

async fn access_groups(app: &App, id: &ConnectionId) -> Result<Vec<Object>, StoreError> {
    Ok(to_the_end!(
        |after| app.store.access_group_list(Some(id), after, LARGE_ROWS).await?,
        row => Object { raw: row.raw_json()?, id: row.id, name: row.name }))
}

async fn members(app: &App, id: &ConnectionId) -> Result<Vec<Member>, StoreError> {
    let added = by_id!(|after| app.store.posture_member_added(id, &after, LIST_LIMIT_MAX).await?);
    Ok(to_the_end!(
        |after| app.store.member_list(Some(id), after, LIST_LIMIT_MAX).await?,
        row => member(row, &added)?))
}

fn member(row: MemberRow, added: &HashMap<String, DateTime<Utc>>) -> Result<Member, StoreError> {
    let text = |role: &Value, name: &str| -> Arc<str> { role[name].as_str().unwrap_or_default().into() };
    Ok(Member {
        added_at: added.get(&row.id).copied(),
        roles: row
            .roles_json()?
            .iter()
            .map(|role| (text(role, "id"), text(role, "name")))
            .collect(),
        policies: row.policies_json()?,
        id: row.id,
        email: row.email,
        status: row.status,
        two_factor: row.two_factor,
        person_id: row.person_id,
    })
}

async fn users(app: &App, id: &ConnectionId) -> Result<Vec<User>, StoreError> {
    Ok(to_the_end!(
        |after| app.store.access_user_list(Some(id), after, LIST_LIMIT_MAX).await?,
        row => user(row)?))
}

fn user(row: AccessUserRow) -> Result<User, StoreError> {
    Ok(User {
        created_at: time(&row.raw_json()?, "created_at"),
        id: row.id,
        email: row.email,
        access_seat: row.access_seat,
        gateway_seat: row.gateway_seat,
        last_login_at: row.last_login_at,
        person_id: row.person_id,
    })
}

async fn audit(app: &App, id: &ConnectionId) -> Result<Known<Audit>, StoreError> {
    let mut first_at: Option<DateTime<Utc>> = None;
    let mut last_by_person: HashMap<String, DateTime<Utc>> = HashMap::new();
    for dataset in ["audit_logs", "audit_logs_v2"] {
        let mut after = String::new();
        loop {
            let page = app.store.identifier_seen_list(id, dataset, &after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.identifier);
            let names: Vec<String> = page.iter().map(|one| one.identifier.clone()).collect();
            let people = people::whose(app, &names).await?;
            for one in page {
                first_at = Some(first_at.map_or(one.first_at, |first| first.min(one.first_at)));
                if let Some(person) = people.get(&one.identifier) {
                    let at = last_by_person.entry(person.0.clone()).or_insert(one.last_at);
                    *at = one.last_at.max(*at);
                }
            }
        }
    }
    let Some(first_at) = first_at else {
        return Ok(Err(Unknown(
            "Flareward does not receive the account's audit log: push the dataset audit_logs_v2 (or \
                 audit_logs) with Logpush, which needs the permission \"Logs Write\""
                .to_owned(),
        )));
    };
    Ok(Ok(Audit {
        first_at,
        last_by_person,
    }))
}

async fn aliases(app: &App) -> Result<HashSet<String>, StoreError> {
    let mut all = HashSet::new();
    let mut after: Option<String> = None;
    loop {
        let rows = app
            .store
            .person_alias_list(after.as_deref(), LIST_LIMIT_MAX)
            .await?;
        let Some(last) = rows.last() else { return Ok(all) };
        after = Some(last.address.clone());
        all.extend(rows.into_iter().map(|row| row.address));
    }
}

async fn high_risk(app: &App, people: &HashSet<String>) -> Result<Vec<HighRisk>, StoreError> {
    let mut all = Vec::new();
    let mut after_email = None;
    loop {
        let filter = PersonFilter {
            risk_level: Some(RiskLevel::High),
            after_email: after_email.clone(),
            limit: LIST_LIMIT_MAX,
            search: None,
        };
        let rows = app.store.person_list(&filter).await?;
        let Some(last) = rows.last() else { return Ok(all) };
        after_email = Some(last.email.clone());
        let ours = rows.into_iter().filter(|row| people.contains(row.id.as_str()));
        all.extend(ours.map(|row| HighRisk {
            person_id: row.id.0,
            email: row.email,
            since: row.risk_since,
        }));
    }
}

/// The organisation's own mail domains, as far as the lists show them: the domain of Google Workspace, those that
/// the dashboard's SSO lets in, and the one that at least half of the accepted members have.
pub fn own_domains(facts: &Facts) -> Known<BTreeSet<String>> {
    let members = facts.members()?;
    let mut own = BTreeSet::new();
    for provider in facts.identity_providers.iter().flatten() {
        let named = provider
            .raw
            .pointer("/config/apps_domain")
            .and_then(Value::as_str);
        own.extend(
            named
                .map(address::canonical_domain)
                .filter(|domain| !domain.is_empty()),
        );
    }
    for app in facts
        .apps
        .iter()
        .flatten()
        .filter(|app| app.raw["type"] == "dash_sso")
    {
        for policy in facts.policies_of(app).0 {
            for rule in policy.raw["include"].as_array().into_iter().flatten() {
                if let Selector::EmailDomain(named) = Selector::read(rule) {
                    own.insert(named.into());
                }
            }
        }
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let accepted = members.iter().filter(|member| member.status == "accepted");
    for domain in accepted.filter_map(|member| domain(&member.email)) {
        *counts.entry(domain).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    // Of one or two members, half says nothing.
    if total >= 3 {
        own.extend(
            counts
                .into_iter()
                .filter(|(_, count)| count * 2 >= total)
                .map(|(domain, _)| domain),
        );
    }
    if own.is_empty() {
        return Err(Unknown(
            "the organisation's own email domains are unknown: no domain is used by half of the \
                 members, and no identity provider specifies one"
                .to_owned(),
        ));
    }
    Ok(own)
}
