//! Writes one connection's state into a `.c1z` file: who may do what, for programs that speak Baton.
//!
//! Reads the lists and works out the grants; writes the file and nothing else. Only what is certain is a grant:
//! what depends on the moment, or cannot be known, stands as a count in the profile of the group, application or
//! role. The file keeps the sync before, so that two exports can be compared. Memory grows with people and rules,
//! not with grants. Start reading at [`export`].

use super::types::{
    ACCOUNT, API_TOKEN, APP, GROUP, INVITATION, Kind, PERMISSION_GROUP, ROLE, SERVICE_TOKEN, TYPES, USER,
    USER_GROUP,
};
use crate::access::account::Account;
use crate::access::subject::Subject;
use crate::access::{AccessView, SignIns, rule};
use crate::app::App;
use c1z::message::{
    AppFlag, AppTrait, CredentialType, Entitlement, Grant, Purpose, Resource, ResourceId, SecretTrait,
    Status, StatusKind,
};
use c1z::objects::{User, list, number, profile, text, timestamp, yes_or_no};
use c1z::{C1zError, Finished, SyncWriter, Writer, WriterOptions};
use chrono::{DateTime, Utc};
use model::{Certainty, GrantKind, PersonId};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use store::{AccessUserRow, AccountObjectRow, ConnectionRow, LIST_LIMIT_MAX, MemberRow, StoreError};

/// Rows of a list with large objects that are read at once.
const LARGE_ROWS: i64 = 200;

/// What was written, and what was left out.
#[derive(Debug)]
pub struct Report {
    /// The new sync of the file.
    pub finished: Finished,
    /// Grants that depend on the moment of access: not written.
    pub conditional: u64,
    /// Grants that cannot be known: not written.
    pub unknown: u64,
    /// Things that readers could not use, such as one with an empty id, in words; the first hundred.
    pub refused: Vec<String>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The lists were never read.
    #[error("{0} has never been fully synced: run `flareward sync` first")]
    NeverSynced(String),
    /// The file.
    #[error(transparent)]
    File(#[from] C1zError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the connection's state into `file`, beside the newest sync that it has. Calls `progress` with people done
/// and people in all.
///
/// # Errors
///
/// See [`ExportError`]; the file is then as it was.
pub async fn export(
    app: &App,
    connection: &ConnectionRow,
    file: &Path,
    progress: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Report, ExportError> {
    let view = AccessView::of_connection(app, &connection.id).await?;
    let place = view
        .place(&connection.id)
        .ok_or(StoreError::Gone("the connection"))?;
    if view.connections[place].as_of.is_none() {
        return Err(ExportError::NeverSynced(connection.label.clone()));
    }
    let began = app.clock.now();
    let id = crate::secret::digest(&app.ids.new_id(began));
    let mut random = [0_u8; 16];
    random.copy_from_slice(&id.as_bytes()[..16]);
    let writer = Writer::open(file, WriterOptions::default()).await?;
    let mut export = Export {
        app,
        connection,
        view: &view,
        place,
        sign_ins: SignIns::of_connection(app, &connection.id).await?,
        sync: writer.begin_sync(began, random).await?,
        tallies: HashMap::new(),
        scoped: BTreeMap::new(),
        refused: Vec::new(),
    };
    export.types().await?;
    export.people(progress).await?;
    export.account().await?;
    export.groups().await?;
    export.roles().await?;
    export.user_groups().await?;
    export.apps().await?;
    export.tokens().await?;
    let left_out = |at: usize| export.tallies.values().map(|tally| tally[at]).sum();
    Ok(Report {
        conditional: left_out(1),
        unknown: left_out(2),
        refused: export.refused,
        finished: export.sync.finish(app.clock.now().max(began)).await?,
    })
}

struct Export<'a> {
    app: &'a App,
    connection: &'a ConnectionRow,
    view: &'a AccessView,
    place: usize,
    sign_ins: SignIns,
    sync: SyncWriter,
    /// How many hold a thing for sure, conditionally, and not known.
    tallies: HashMap<(GrantKind, Box<str>), [u64; 3]>,
    /// Permission groups that are held over less than the whole account, by the id that they have in the file, with
    /// a name that says over what.
    scoped: BTreeMap<Box<str>, String>,
    refused: Vec<String>,
}

/// The resource type of what is held, and its slug.
fn of_grant(kind: GrantKind) -> (&'static str, &'static str) {
    match kind {
        GrantKind::AccessGroup => (GROUP, "member"),
        GrantKind::App => (APP, "access"),
        GrantKind::PermissionGroup => (PERMISSION_GROUP, "assigned"),
        GrantKind::Role => (ROLE, "assigned"),
        GrantKind::UserGroup => (USER_GROUP, "member"),
    }
}

impl Export<'_> {
    fn rules(&self) -> &Account {
        &self.view.connections[self.place].account
    }

    /// Goes on after an object that readers could not use.
    fn tolerate(&mut self, done: Result<(), C1zError>) -> Result<(), C1zError> {
        match done {
            Err(error @ (C1zError::EmptyId { .. } | C1zError::LongId { .. } | C1zError::Missing { .. })) => {
                if self.refused.len() < 100 {
                    self.refused.push(error.to_string());
                }
                Ok(())
            }
            other => other,
        }
    }

    async fn resource(&mut self, resource: Resource) -> Result<(), C1zError> {
        let done = self.sync.resource(resource).await;
        self.tolerate(done)
    }

    async fn grant(&mut self, grant: Grant) -> Result<(), C1zError> {
        let done = self.sync.grant(grant).await;
        self.tolerate(done)
    }

    /// Adds a thing with what its kind lets others hold.
    async fn held_thing(&mut self, kind: &'static str, resource: Resource) -> Result<(), C1zError> {
        let (id, name) = (resource.id.clone(), resource.display_name.clone());
        self.resource(resource).await?;
        let entitlement = Kind::of(kind).and_then(|kind| Some((kind, kind.entitlement?)));
        if let (Some(id), Some((kind, (slug, words)))) = (id, entitlement) {
            let mut entitlement = Entitlement::new(id, slug, words, Purpose::Assignment, kind.grantable_to);
            entitlement.description = format!("{words}: {name}");
            let done = self.sync.entitlement(entitlement).await;
            self.tolerate(done)?;
        }
        Ok(())
    }

    async fn types(&mut self) -> Result<(), C1zError> {
        for kind in TYPES {
            self.sync.resource_type(kind.resource_type()).await?;
        }
        Ok(())
    }

    async fn people(&mut self, progress: &(dyn Fn(usize, usize) + Send + Sync)) -> Result<(), ExportError> {
        let view = self.view;
        let store = &self.app.store;
        for (done, subject) in view.people.iter().enumerate() {
            let is_here = subject
                .members
                .iter()
                .any(|member| member.connection == self.place)
                || subject.users.iter().any(|user| user.connection == self.place);
            if !is_here {
                continue;
            }
            let of_this = |id: &model::ConnectionId| *id == self.connection.id;
            let mut members = store.member_by_person(&subject.person_id).await?;
            members.retain(|row| of_this(&row.connection_id));
            let mut users = store.access_user_by_person(&subject.person_id).await?;
            users.retain(|row| of_this(&row.connection_id));
            self.person(subject, &members, &users).await?;
            for member in members.iter().filter(|member| member.status != "accepted") {
                self.invitation(member).await?;
            }
            self.grants(subject).await?;
            progress(done + 1, view.people.len());
        }
        Ok(())
    }

    async fn person(
        &mut self,
        subject: &Subject,
        members: &[MemberRow],
        users: &[AccessUserRow],
    ) -> Result<(), ExportError> {
        let member = members
            .iter()
            .find(|row| row.status == "accepted")
            .or(members.first());
        let user = users.first();
        let raw = member.map(MemberRow::raw_json).transpose()?.unwrap_or_default();
        let part = |name: &str| raw.pointer(&format!("/user/{name}")).and_then(Value::as_str);
        let name = member
            .and_then(|row| row.name.clone())
            .or_else(|| user.and_then(|row| row.name.clone()))
            .filter(|name| !name.trim().is_empty());
        let (first, last) = match (part("first_name"), part("last_name")) {
            (None, None) => {
                let words = name.clone().unwrap_or_default();
                let (first, last) = words.trim().rsplit_once(' ').unwrap_or((words.trim(), ""));
                (first.to_owned(), last.to_owned())
            }
            (first, last) => (first.unwrap_or_default().into(), last.unwrap_or_default().into()),
        };
        let is_accepted = member.is_some_and(|row| row.status == "accepted");
        let mut about: BTreeMap<&str, c1z::objects::ProfileValue> = BTreeMap::new();
        about.insert("login", text(&*subject.email));
        about.insert("email", text(&*subject.email));
        about.insert("user_id", text(subject.person_id.as_str()));
        if let Some(row) = member {
            about.insert("member_id", text(row.id.clone()));
            about.insert("member_status", text(row.status.clone()));
            if let Some(id) = part("id") {
                about.insert("account_user_id", text(id));
            }
            let sign_in = if is_accepted {
                self.sign_ins.of(&row.email)
            } else {
                "unknown"
            };
            about.insert("sign_in", text(sign_in));
        }
        let two_factor = members.iter().find_map(|row| row.two_factor);
        about.insert("two_factor", text(crate::access::yes_no_unknown(two_factor)));
        if let Some(row) = user {
            about.insert("access_user_id", text(row.id.clone()));
            for (name, seat) in [
                ("access_seat", row.access_seat),
                ("gateway_seat", row.gateway_seat),
            ] {
                about.insert(name, seat.map_or_else(|| text("unknown"), yes_or_no));
            }
        }
        let status = if is_accepted || user.is_some() {
            Status::new(StatusKind::Enabled)
        } else {
            Status {
                details: "invited, not accepted".to_owned(),
                ..Status::new(StatusKind::Unspecified)
            }
        };
        let resource = User {
            emails: subject.addresses().map(str::to_owned).collect(),
            login: subject.email.clone().into(),
            status,
            profile: profile(about),
            given_name: first,
            family_name: last,
            last_login: users.iter().filter_map(|row| row.last_login_at).max(),
            mfa_enabled: two_factor,
            sso_enabled: member
                .filter(|_| is_accepted)
                .and_then(|row| match self.sign_ins.of(&row.email) {
                    "sso" => Some(true),
                    "password" => Some(false),
                    _ => None,
                }),
            ..User::default()
        }
        .resource(
            user_id(&subject.person_id),
            name.unwrap_or_else(|| subject.email.clone().into()),
        );
        Ok(self.resource(resource).await?)
    }

    async fn invitation(&mut self, member: &MemberRow) -> Result<(), ExportError> {
        let roles = member.roles_json()?;
        let of = |name: &'static str| list(roles.iter().filter_map(|role| role[name].as_str()).map(text));
        let about = profile([
            ("email", text(member.email.clone())),
            ("status", text(member.status.clone())),
            ("role_ids", of("id")),
            ("role_names", of("name")),
            ("user_id", text(member.person_id.clone().unwrap_or_default())),
        ]);
        let resource = Resource {
            id: Some(ResourceId::new(INVITATION, member.id.clone())),
            display_name: member.email.clone(),
            profile: Some(about),
            ..Resource::default()
        };
        Ok(self.resource(resource).await?)
    }

    async fn grants(&mut self, subject: &Subject) -> Result<(), ExportError> {
        for held in self.view.held(subject, self.place) {
            // Over the whole account and over a part of it are two things to hold.
            let id: Box<str> = match &held.scope {
                Some(scope) if scope.is_account != Some(true) => {
                    let id: Box<str> = format!("{}/{}", held.id, scope.id).into();
                    let name = || format!("{} on {}", held.name, scope.name);
                    self.scoped.entry(id.clone()).or_insert_with(name);
                    id
                }
                _ => held.id.clone(),
            };
            let at = match held.certainty {
                Certainty::Yes => 0,
                Certainty::Conditional => 1,
                Certainty::Unknown => 2,
            };
            self.tallies.entry((held.kind, id.clone())).or_default()[at] += 1;
            if held.certainty != Certainty::Yes {
                continue;
            }
            let (kind, slug) = of_grant(held.kind);
            let mut grant = Grant::new(ResourceId::new(kind, &*id), slug, user_id(&subject.person_id));
            if let Some(through) = held.through.filter(|through| !through.is_empty()) {
                grant = grant.derived(
                    through
                        .into_iter()
                        .map(|(id, is_direct)| (member_of(&id), is_direct)),
                );
            }
            self.grant(grant).await?;
        }
        Ok(())
    }

    async fn account(&mut self) -> Result<(), ExportError> {
        let id = &self.connection.account_id;
        let row = self
            .app
            .store
            .account_object_get(&self.connection.id, "account", id)
            .await?;
        let raw = row.map(|row| row.raw_json()).transpose()?.unwrap_or_default();
        let mut about = vec![
            ("account_id", text(id.clone())),
            ("account_name", text(self.connection.account_name.clone())),
        ];
        if let Some(kind) = raw["type"].as_str() {
            about.push(("type", text(kind)));
        }
        if let Some(enforced) = raw
            .pointer("/settings/enforce_twofactor")
            .and_then(Value::as_bool)
        {
            about.push(("enforce_twofactor", yes_or_no(enforced)));
        }
        let resource = Resource {
            id: Some(ResourceId::new(ACCOUNT, id.clone())),
            display_name: self.connection.account_name.clone(),
            profile: Some(profile(about)),
            ..Resource::default()
        };
        Ok(self.resource(resource).await?)
    }

    /// How many hold it, for a profile.
    fn counts(&self, kind: GrantKind, id: &str) -> [(&'static str, c1z::objects::ProfileValue); 3] {
        let [yes, conditional, unknown] = self.tallies.get(&(kind, id.into())).copied().unwrap_or_default();
        [
            ("certain_count", number(yes as f64)),
            ("conditional_count", number(conditional as f64)),
            ("unknown_count", number(unknown as f64)),
        ]
    }

    /// A list of rules in words, with groups by their names.
    fn in_words(&self, raw: &Value, which: &str) -> Vec<String> {
        let rules = raw[which].as_array().into_iter().flatten();
        rules
            .map(|one| {
                let nested = one.pointer("/group/id").and_then(Value::as_str);
                match nested.and_then(|id| self.rules().group_at(id)) {
                    Some(at) => format!("group {}", self.rules().groups()[at].name),
                    None => rule::in_words(one),
                }
            })
            .collect()
    }

    async fn groups(&mut self) -> Result<(), ExportError> {
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after
                .as_ref()
                .map(|(connection, id)| (connection.as_str(), id.as_str()));
            let store = &self.app.store;
            let rows = store
                .access_group_list(Some(&self.connection.id), place, LARGE_ROWS)
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some((last.connection_id.0.clone(), last.id.clone()));
            for row in rows {
                let raw = row.raw_json()?;
                let mut about = vec![
                    ("group_id", text(row.id.clone())),
                    ("group_name", text(row.name.clone())),
                ];
                for (name, which) in [
                    ("include_rules", "include"),
                    ("require_rules", "require"),
                    ("exclude_rules", "exclude"),
                ] {
                    about.push((name, list(self.in_words(&raw, which).into_iter().map(text))));
                }
                about.extend(self.counts(GrantKind::AccessGroup, &row.id));
                let id = ResourceId::new(GROUP, row.id.clone());
                self.held_thing(GROUP, Resource::group(id.clone(), row.name, profile(about)))
                    .await?;
                // Only of a group that is the union of what it includes: a reader who expands it anew would else
                // give more than there is.
                let nested: Vec<Box<str>> = match self.rules().group_at(&row.id) {
                    Some(at) if self.rules().is_union(at) => self
                        .rules()
                        .included(at)
                        .map(|nested| self.rules().groups()[nested].id.clone())
                        .collect(),
                    _ => Vec::new(),
                };
                for nested in nested {
                    let grant = Grant::new(id.clone(), "member", ResourceId::new(GROUP, &*nested));
                    let grant = grant.expandable(vec![member_of(&nested)], false, vec![USER.to_owned()]);
                    self.grant(grant).await?;
                }
            }
        }
    }

    async fn roles(&mut self) -> Result<(), ExportError> {
        let store = &self.app.store;
        let rows = store
            .role_list(Some(&self.connection.id), None, LIST_LIMIT_MAX)
            .await?;
        for row in rows {
            let mut about = vec![
                ("role_id", text(row.id.clone())),
                ("role_name", text(row.name.clone())),
            ];
            about.extend(self.counts(GrantKind::Role, &row.id));
            let mut resource = Resource::role(ResourceId::new(ROLE, row.id), row.name, profile(about));
            resource.description = row.description.unwrap_or_default();
            self.held_thing(ROLE, resource).await?;
        }
        for row in self.objects("permission_groups").await? {
            let mut about = vec![("permission_group_id", text(row.id.clone()))];
            about.extend(self.counts(GrantKind::PermissionGroup, &row.id));
            let id = ResourceId::new(PERMISSION_GROUP, row.id);
            self.held_thing(PERMISSION_GROUP, Resource::role(id, row.name, profile(about)))
                .await?;
        }
        for (scoped, name) in std::mem::take(&mut self.scoped) {
            let mut about = vec![("permission_group_id", text(&*scoped))];
            about.extend(self.counts(GrantKind::PermissionGroup, &scoped));
            let id = ResourceId::new(PERMISSION_GROUP, &*scoped);
            self.held_thing(PERMISSION_GROUP, Resource::role(id, name, profile(about)))
                .await?;
        }
        Ok(())
    }

    async fn user_groups(&mut self) -> Result<(), ExportError> {
        for row in self.objects("user_groups").await? {
            let mut about = vec![("group_id", text(row.id.clone()))];
            about.extend(self.counts(GrantKind::UserGroup, &row.id));
            let id = ResourceId::new(USER_GROUP, row.id);
            self.held_thing(USER_GROUP, Resource::group(id, row.name, profile(about)))
                .await?;
        }
        Ok(())
    }

    async fn apps(&mut self) -> Result<(), ExportError> {
        let mut policies: HashMap<String, Value> = HashMap::new();
        for row in self.objects("policies").await? {
            policies.insert(row.id.clone(), row.raw_json()?);
        }
        for row in self.objects("apps").await? {
            let raw = row.raw_json()?;
            let said = |name: &str| text(raw[name].as_str().unwrap_or_default());
            let mut words = Vec::new();
            for given in raw["policies"].as_array().into_iter().flatten() {
                let id = given
                    .as_str()
                    .or_else(|| given["id"].as_str())
                    .unwrap_or_default();
                let whole = if given.get("include").is_some() {
                    Some(given)
                } else {
                    policies.get(id)
                };
                words.push(text(match whole {
                    Some(policy) => self.policy_in_words(policy),
                    None => format!("unreadable policy {id}"),
                }));
            }
            let mut about = vec![
                ("app_id", text(row.id.clone())),
                ("app_name", text(row.name.clone())),
                ("domain", said("domain")),
                ("type", said("type")),
                ("policies", list(words)),
            ];
            about.extend(self.counts(GrantKind::App, &row.id));
            let flags = match raw["type"].as_str() {
                Some("bookmark") => vec![AppFlag::Bookmark as i32],
                _ => Vec::new(),
            };
            let what = AppTrait {
                flags,
                ..AppTrait::default()
            };
            let id = ResourceId::new(APP, row.id);
            self.held_thing(APP, Resource::app(id, row.name, profile(about), what))
                .await?;
        }
        Ok(())
    }

    fn policy_in_words(&self, policy: &Value) -> String {
        let said = |name: &str| policy[name].as_str().unwrap_or_default().to_owned();
        let mut words = format!("{} {}", said("decision"), said("name"));
        for which in ["include", "require", "exclude"] {
            let rules = self.in_words(policy, which);
            if !rules.is_empty() {
                words.push_str(&format!("; {which} {}", rules.join(", ")));
            }
        }
        words
    }

    async fn tokens(&mut self) -> Result<(), ExportError> {
        for (list, kind) in [("service_tokens", SERVICE_TOKEN), ("account_tokens", API_TOKEN)] {
            for row in self.objects(list).await? {
                let raw = row.raw_json()?;
                let at = |names: [&str; 2]| names.iter().find_map(|name| time(&raw[*name])).map(timestamp);
                let mut about = vec![("token_id", text(row.id.clone()))];
                for name in ["client_id", "duration", "status"] {
                    if let Some(value) = raw[name].as_str() {
                        about.push((name, text(value)));
                    }
                }
                let what = SecretTrait {
                    created_at: at(["created_at", "issued_on"]),
                    expires_at: at(["expires_at", "expires_on"]),
                    last_used_at: at(["last_seen_at", "last_used_on"]),
                    credential_type: CredentialType::StaticSecret as i32,
                    ..SecretTrait::default()
                };
                let id = ResourceId::new(kind, row.id);
                self.resource(Resource::secret(id, row.name, profile(about), what))
                    .await?;
            }
        }
        Ok(())
    }

    async fn objects(&self, kind: &str) -> Result<Vec<AccountObjectRow>, StoreError> {
        let mut all: Vec<AccountObjectRow> = Vec::new();
        loop {
            let place = all
                .last()
                .map(|row| (row.connection_id.as_str(), row.id.as_str()));
            let store = &self.app.store;
            let page = store
                .account_object_list(kind, Some(&self.connection.id), place, LARGE_ROWS)
                .await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

fn user_id(person: &PersonId) -> ResourceId {
    ResourceId::new(USER, person.as_str())
}

/// The entitlement that membership of an Access group is.
fn member_of(group: &str) -> String {
    Entitlement::id_of(&ResourceId::new(GROUP, group), "member")
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?;
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|at| at.with_timezone(&Utc))
}
