//! The library interface to read and change a running sandbox.

mod logpush;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::faults::{AddedRule, Faults};
use crate::ids::Ids;
use crate::logpush::ledger::Pushed;
use crate::received::{ReceivedMessage, ReceivedSignal};
use crate::shared::Shared;
use crate::story::play::{self, Played, StoryError};
use crate::story::{Expected, ongoing};
use crate::world::World;
use crate::world::access_user::AccessUser;
use crate::world::member::Member;
use crate::world::policy::copy_to_apps;
use crate::world::role::Role;

/// The seats that a Zero Trust user holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seats {
    /// An Access seat.
    pub access: bool,
    /// A Gateway seat.
    pub gateway: bool,
}

/// Reads and changes the world of a running [`crate::Sandbox`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorldHandle {
    pub(crate) shared: Arc<Shared>,
}

impl WorldHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The active faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults.settings()
    }

    /// Activates exactly these faults and resets the counters.
    pub fn faults_set(&self, faults: Faults) {
        self.shared.world().risk_entitled = !faults.risk_not_entitled;
        self.shared.faults.set(faults);
    }

    /// Deactivates all faults.
    pub fn faults_clear(&self) {
        self.faults_set(Faults::default());
    }

    /// Makes another client overwrite the next PUT of this group or member, by id. That client read the object at the
    /// same time as the caller, and saves its version right after the caller. The caller gets 200, and its change is
    /// lost.
    ///
    /// Other faults and the call counters are unchanged.
    pub fn lose_next_write(&self, id: &str) {
        self.shared
            .faults
            .arm(|faults| faults.writes_lost.push(id.to_owned()));
    }

    /// Makes another client add a rule to the `include` of this group, right after the group is next read by its id.
    /// The reader does not see the rule, and removes it by writing back what it read.
    pub fn add_after_next_read(&self, group_id: &str, rule: Value) {
        let group_id = group_id.to_owned();
        self.shared
            .faults
            .arm(|faults| faults.rules_added_after_read.push(AddedRule { group_id, rule }));
    }

    /// Responds 503 to the next `times` writes (every call except GET) without applying them.
    pub fn writes_fail_before_applying(&self, times: u64) {
        self.shared
            .faults
            .arm(|faults| faults.writes_fail_before_applying = times);
    }

    /// Applies the next `times` valid writes, but responds 503. Writes that are refused for another reason do not
    /// count.
    pub fn writes_fail_after_applying(&self, times: u64) {
        self.shared
            .faults
            .arm(|faults| faults.writes_fail_after_applying = times);
    }

    /// Responds to the next `times` valid writes as if they succeeded (200, 201 or 202), but does not apply them.
    /// Writes that are refused for another reason do not count.
    pub fn writes_ignore(&self, times: u64) {
        self.shared.faults.arm(|faults| faults.writes_ignored = times);
    }

    /// The number of calls of each API operation, by method and path template.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.shared.requests()
    }

    /// Adds a dashboard member with these roles, by name; ignores unknown names. Returns the membership's id.
    pub fn member_add(&self, email: &str, role_names: &[&str], accepted: bool) -> String {
        let mut world = self.shared.world();
        let id = world.ids.hex32();
        let named = |role: &&Role| role_names.contains(&role.name.as_str());
        let member = Member {
            id: id.clone(),
            email: email.to_owned(),
            user_id: accepted.then(|| world.ids.hex32()),
            first_name: None,
            last_name: None,
            second_factor: false,
            accepted,
            role_ids: world
                .roles
                .iter()
                .filter(named)
                .map(|role| role.id.clone())
                .collect(),
            policies: Vec::new(),
        };
        world.members.push(member);
        id
    }

    /// Removes the member with this address; returns whether there was one.
    pub fn member_remove(&self, email: &str) -> bool {
        let mut world = self.shared.world();
        let at = world
            .members
            .iter()
            .position(|member| member.email.eq_ignore_ascii_case(email));
        at.map(|at| world.members.remove(at)).is_some()
    }

    /// A dashboard member as in the API.
    #[must_use]
    pub fn member(&self, email: &str) -> Option<Value> {
        let world = self.shared.world();
        let member = world
            .members
            .iter()
            .find(|member| member.email.eq_ignore_ascii_case(email))?;
        Some(member.to_json(&world.roles, &world.account_id, false))
    }

    /// The addresses of all members, as written in the list.
    #[must_use]
    pub fn member_emails(&self) -> Vec<String> {
        self.shared
            .world()
            .members
            .iter()
            .map(|member| member.email.clone())
            .collect()
    }

    /// The names of the roles that a member holds.
    #[must_use]
    pub fn member_roles(&self, email: &str) -> Vec<String> {
        let world = self.shared.world();
        let member = world
            .members
            .iter()
            .find(|member| member.email.eq_ignore_ascii_case(email));
        let held = member
            .map(|member| member.role_ids.as_slice())
            .unwrap_or_default();
        world
            .roles
            .iter()
            .filter(|role| held.contains(&role.id))
            .map(|role| role.name.clone())
            .collect()
    }

    /// Sets the roles of a member, by name, as another administrator in the dashboard would; ignores unknown names.
    /// Returns whether there is such a member.
    pub fn member_roles_set(&self, email: &str, role_names: &[&str]) -> bool {
        let mut world = self.shared.world();
        let named = |role: &&Role| role_names.contains(&role.name.as_str());
        let role_ids: Vec<String> = world
            .roles
            .iter()
            .filter(named)
            .map(|role| role.id.clone())
            .collect();
        let Some(member) = world
            .members
            .iter_mut()
            .find(|member| member.email.eq_ignore_ascii_case(email))
        else {
            return false;
        };
        member.role_ids = role_ids;
        member.policies.clear();
        true
    }

    /// The permission policies of a member; empty for a member with roles.
    #[must_use]
    pub fn member_policies(&self, email: &str) -> Vec<Value> {
        self.member_change(email, |member, _| member.policies.clone())
            .unwrap_or_default()
    }

    /// Replaces the roles and policies of a member with these permission policies, in the API's format. They are not
    /// validated. Returns whether there is such a member.
    pub fn member_policies_set(&self, email: &str, policies: Vec<Value>) -> bool {
        let set = |member: &mut Member, _: &mut Ids| {
            member.role_ids.clear();
            member.policies = policies;
        };
        self.member_change(email, set).is_some()
    }

    /// Adds a user group that gives its members these policies, in the API's format, or replaces the one with the same
    /// name. Ignores members who do not exist. Returns its id.
    pub fn user_group_put(&self, name: &str, policies: Vec<Value>, emails: &[&str]) -> String {
        let mut world = self.shared.world();
        let id = crate::ids::hex32_of(&format!("user group: {name}"));
        let member_ids = world
            .members
            .iter()
            .filter(|member| emails.contains(&member.email.as_str()))
            .map(|member| member.id.clone())
            .collect();
        world.user_groups.retain(|held| held.group["id"] != id.as_str());
        world.user_groups.push(crate::world::UserGroup {
            group: serde_json::json!({ "id": id, "name": name, "policies": policies }),
            member_ids,
        });
        id
    }

    /// A policy in the API's format: a permission group with this name for the whole account.
    #[must_use]
    pub fn policy_over_account(&self, access: &str, permission_group: &str) -> Value {
        let world = self.shared.world();
        let mut policy = crate::world::iam::over_account(permission_group, &world.account_id);
        policy["access"] = Value::from(access);
        policy
    }

    /// Whether a member has accepted the invitation; `None` if there is no such member.
    #[must_use]
    pub fn member_accepted(&self, email: &str) -> Option<bool> {
        self.member_change(email, |member, _| member.accepted)
    }

    /// Makes a member accept the invitation, which gives a user id to a member without one; or makes the member pending
    /// again, without a user id. Returns whether there is such a member.
    pub fn member_accepted_set(&self, email: &str, accepted: bool) -> bool {
        let set = |member: &mut Member, ids: &mut Ids| {
            member.accepted = accepted;
            member.user_id = match member.user_id.take() {
                known if known.is_some() == accepted => known,
                _ => accepted.then(|| ids.hex32()),
            };
        };
        self.member_change(email, set).is_some()
    }

    fn member_change<T>(&self, email: &str, change: impl FnOnce(&mut Member, &mut Ids) -> T) -> Option<T> {
        let mut world = self.shared.world();
        let World { members, ids, .. } = &mut *world;
        let member = members
            .iter_mut()
            .find(|member| member.email.eq_ignore_ascii_case(email))?;
        Some(change(member, ids))
    }

    /// Makes another member the owner of the user token and the global key: `GET /user` and `/memberships` then return
    /// that member, and the key requires their address instead of [`crate::SandboxInfo::email`]. Returns false if there
    /// is no such member, or the member never signed up.
    pub fn credential_owner_set(&self, email: &str) -> bool {
        let mut world = self.shared.world();
        let owner = world
            .members
            .iter()
            .find(|member| member.email.eq_ignore_ascii_case(email));
        let Some((id, email)) = owner.and_then(|owner| Some((owner.user_id.clone()?, owner.email.clone())))
        else {
            return false;
        };
        (world.owner_id, world.owner_email) = (id, email);
        true
    }

    /// Enables or disables a member's second factor. Returns whether there is such a member.
    pub fn member_second_factor_set(&self, email: &str, on: bool) -> bool {
        self.member_change(email, |member, _| member.second_factor = on)
            .is_some()
    }

    /// Adds a Zero Trust user and returns the id.
    pub fn access_user_add(&self, email: &str, name: &str) -> String {
        let now = self.shared.clock.now();
        let mut world = self.shared.world();
        let user = AccessUser::fresh(&mut world.ids, email, name, now);
        let id = user.id.clone();
        world.access_users.push(user);
        id
    }

    /// Removes the Zero Trust user with this address; returns whether there was one.
    pub fn access_user_remove(&self, email: &str) -> bool {
        let mut world = self.shared.world();
        let Some(at) = world
            .access_users
            .iter()
            .position(|user| user.email.eq_ignore_ascii_case(email))
        else {
            return false;
        };
        let user = world.access_users.remove(at);
        world.risk.forget(&user.id);
        true
    }

    /// The id of the Zero Trust user with this address.
    #[must_use]
    pub fn access_user_id(&self, email: &str) -> Option<String> {
        let world = self.shared.world();
        world
            .access_users
            .iter()
            .find(|user| user.email.eq_ignore_ascii_case(email))
            .map(|user| user.id.clone())
    }

    /// The addresses of all Zero Trust users, as written in the list.
    #[must_use]
    pub fn access_user_emails(&self) -> Vec<String> {
        self.shared
            .world()
            .access_users
            .iter()
            .map(|user| user.email.clone())
            .collect()
    }

    /// A Zero Trust user as in the API.
    #[must_use]
    pub fn access_user(&self, email: &str) -> Option<Value> {
        self.access_user_change(email, |user| user.to_json())
    }

    /// The seats that a Zero Trust user holds.
    #[must_use]
    pub fn access_user_seats(&self, email: &str) -> Option<Seats> {
        self.access_user_change(email, |user| Seats {
            access: user.access_seat,
            gateway: user.gateway_seat,
        })
    }

    /// Sets the seats of a Zero Trust user. Returns whether there is such a user. A user who never had a seat gets a
    /// seat id, as at the first sign-in.
    pub fn access_user_seats_set(&self, email: &str, seats: Seats) -> bool {
        let seat_uid = self.shared.world().ids.uuid();
        let set = |user: &mut AccessUser| {
            user.access_seat = seats.access;
            user.gateway_seat = seats.gateway;
            if user.seat_uid.is_empty() && (seats.access || seats.gateway) {
                user.seat_uid = seat_uid;
            }
        };
        self.access_user_change(email, set).is_some()
    }

    fn access_user_change<T>(&self, email: &str, change: impl FnOnce(&mut AccessUser) -> T) -> Option<T> {
        let mut world = self.shared.world();
        let user = world
            .access_users
            .iter_mut()
            .find(|user| user.email.eq_ignore_ascii_case(email))?;
        Some(change(user))
    }

    /// The Zero Trust users whose sessions were revoked by a call, in the order of the calls; a user with two
    /// revocations is listed twice.
    #[must_use]
    pub fn sessions_revoked(&self) -> Vec<String> {
        self.shared.world().revocations.clone()
    }

    /// The id of the second factor of the Zero Trust user with this address. No API call returns it.
    #[must_use]
    pub fn authenticator_id(&self, email: &str) -> Option<String> {
        let world = self.shared.world();
        world
            .access_users
            .iter()
            .find(|user| user.email.eq_ignore_ascii_case(email))?
            .authenticator_id
            .clone()
    }

    /// An Access group as in the API.
    #[must_use]
    pub fn access_group(&self, name: &str) -> Option<Value> {
        self.shared
            .world()
            .access_groups
            .iter()
            .find(|group| group["name"] == name)
            .cloned()
    }

    /// The Access group with this id as in the API.
    #[must_use]
    pub fn access_group_by_id(&self, id: &str) -> Option<Value> {
        let world = self.shared.world();
        world
            .access_groups
            .iter()
            .find(|group| group["id"] == id)
            .cloned()
    }

    /// Replaces the whole Access group with this id by `group`; only the id is kept. The group is not validated, so
    /// tests can create groups that the API would refuse. Returns whether there is such a group.
    pub fn access_group_set(&self, id: &str, mut group: Value) -> bool {
        let mut world = self.shared.world();
        let Some(at) = world.access_groups.iter().position(|group| group["id"] == id) else {
            return false;
        };
        group["id"] = json!(id);
        group["uid"] = json!(id);
        world.access_groups[at] = group;
        true
    }

    /// Adds an Access group, or replaces the one with this name, as another administrator in the dashboard would.
    /// Returns its id.
    pub fn access_group_put(&self, name: &str, include: Value, exclude: Value, require: Value) -> String {
        let now = rfc3339(self.shared.clock.now());
        let mut world = self.shared.world();
        let known = world.access_groups.iter().position(|group| group["name"] == name);
        let id = match known {
            Some(at) => world.access_groups[at]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            None => world.ids.uuid(),
        };
        let group = json!({
            "id": id, "uid": id, "name": name, "include": include, "exclude": exclude, "require": require,
            "created_at": now, "updated_at": now,
        });
        match known {
            Some(at) => world.access_groups[at] = group,
            None => world.access_groups.push(group),
        }
        id
    }

    /// Removes the Access group with this name; returns whether there was one.
    pub fn access_group_remove(&self, name: &str) -> bool {
        let mut world = self.shared.world();
        let before = world.access_groups.len();
        world.access_groups.retain(|group| group["name"] != name);
        world.access_groups.len() < before
    }

    /// All applications as in the API, with their policies.
    #[must_use]
    pub fn access_apps(&self) -> Vec<Value> {
        self.shared.world().access_apps.clone()
    }

    /// Replaces all applications. Each must have an `id`; nothing else is validated.
    pub fn access_apps_set(&self, apps: Vec<Value>) {
        self.shared.world().access_apps = apps;
    }

    /// Adds an application, or replaces the one with the `id` of `app`.
    pub fn access_app_put(&self, app: Value) {
        put(&mut self.shared.world().access_apps, app);
    }

    /// All reusable policies as in the API.
    #[must_use]
    pub fn access_policies(&self) -> Vec<Value> {
        self.shared.world().access_policies.clone()
    }

    /// Replaces all reusable policies; the policies of applications do not change. Each must have an `id`; nothing else
    /// is validated.
    pub fn access_policies_set(&self, policies: Vec<Value>) {
        self.shared.world().access_policies = policies;
    }

    /// Adds a reusable policy, or replaces the one with the `id` of `policy`, including its copies in applications.
    pub fn access_policy_put(&self, policy: Value) {
        let mut world = self.shared.world();
        copy_to_apps(&policy, &mut world.access_apps);
        put(&mut world.access_policies, policy);
    }

    /// Makes a Zero Trust user trigger a risk behaviour at a level; returns whether there is such a user.
    pub fn risk_trigger(&self, email: &str, behaviour: &str, level: &str) -> bool {
        let now = self.shared.clock.now();
        let Some(user_id) = self.access_user_id(email) else {
            return false;
        };
        let mut world = self.shared.world();
        let event_id = world.ids.uuid();
        world.risk.trigger(event_id, &user_id, behaviour, level, now);
        true
    }

    /// The number of distinct records and broken lines in the story, by dataset.
    #[must_use]
    pub fn story_expected(&self) -> BTreeMap<String, Expected> {
        self.shared.story.expected()
    }

    /// What each Logpush job has delivered.
    #[must_use]
    pub fn pushed(&self) -> Vec<Pushed> {
        self.shared.pushed.pushed()
    }

    /// Pushes the whole story through the enabled Logpush jobs and waits until every batch was answered 2xx.
    ///
    /// # Errors
    ///
    /// [`StoryError::Undelivered`] after a minute, with the remaining lines.
    pub async fn story_play_all(&self) -> Result<Played, StoryError> {
        self.story_play_all_within(play::PATIENCE).await
    }

    /// The same as [`WorldHandle::story_play_all`], with another time limit.
    ///
    /// # Errors
    ///
    /// [`StoryError::Undelivered`] after `patience`, with the remaining lines.
    pub async fn story_play_all_within(&self, patience: Duration) -> Result<Played, StoryError> {
        play::play_all(&self.shared, patience).await
    }

    /// Starts to generate events: a few now and after every `interval`.
    pub fn trickle_start(&self, interval: Duration) {
        ongoing::start(&self.shared, interval);
    }

    /// Stops that; returns whether it was running.
    pub fn trickle_stop(&self) -> bool {
        self.shared.trickle.stop()
    }

    /// The signals that the Okta-like receiver received, including refused ones, oldest first.
    #[must_use]
    pub fn received_signals(&self) -> Vec<ReceivedSignal> {
        self.shared.received.signals()
    }

    /// The messages that the chat and mail sinks received, including refused ones, oldest first.
    #[must_use]
    pub fn received_messages(&self) -> Vec<ReceivedMessage> {
        self.shared.received.messages()
    }

    /// Deletes all received signals and messages.
    pub fn received_clear(&self) {
        self.shared.received.clear();
    }
}

fn put(all: &mut Vec<Value>, one: Value) {
    match all.iter().position(|known| known["id"] == one["id"]) {
        Some(at) => all[at] = one,
        None => all.push(one),
    }
}
