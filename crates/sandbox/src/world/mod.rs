//! The state of the simulated account, and its initial data.
//!
//! The state is one value behind one lock. A call locks it, changes it and releases it, so a response never shows a
//! partial change. Objects whose unknown keys must survive (groups, policies, risk integrations) are stored as JSON.

pub(crate) mod access_user;
pub(crate) mod account_token;
pub(crate) mod app;
pub(crate) mod gateway_list;
pub(crate) mod generated_apps;
pub(crate) mod group;
pub(crate) mod iam;
pub(crate) mod identity;
pub(crate) mod logpush_job;
pub(crate) mod logs;
pub(crate) mod member;
pub(crate) mod organization;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod risk;
pub(crate) mod role;
pub(crate) mod rules;
pub(crate) mod service_token;

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::config::SandboxConfig;
use crate::ids::{Ids, hex32_of};
use crate::register::Register;
use crate::world::access_user::AccessUser;
use crate::world::gateway_list::GatewayList;
use crate::world::generated_apps::GeneratedApps;
use crate::world::logpush_job::Job;
use crate::world::logs::{AccessLogin, AuditEntry};
use crate::world::member::Member;
use crate::world::people::{Membership, Person};
use crate::world::risk::RiskScoring;
use crate::world::role::Role;
use crate::world::rules::RuleSource;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) ids: Ids,
    pub(crate) account: Value,
    pub(crate) account_id: String,
    pub(crate) account_name: String,
    /// The user who owns the sandbox's credentials.
    pub(crate) owner_id: String,
    pub(crate) owner_email: String,
    pub(crate) members: Register<Member>,
    pub(crate) roles: Vec<Role>,
    pub(crate) access_users: Register<AccessUser>,
    pub(crate) access_groups: Vec<Value>,
    pub(crate) access_policies: Vec<Value>,
    pub(crate) access_apps: Vec<Value>,
    pub(crate) identity_providers: Vec<Value>,
    pub(crate) organization: Value,
    pub(crate) service_tokens: Vec<Value>,
    pub(crate) account_tokens: Vec<Value>,
    pub(crate) gateway_lists: Vec<GatewayList>,
    pub(crate) risk: RiskScoring,
    pub(crate) resource_groups: Vec<Value>,
    pub(crate) user_groups: Vec<UserGroup>,
    pub(crate) gateway_logging: Value,
    pub(crate) metadata_boundary: Option<Value>,
    pub(crate) logpush_jobs: Vec<Job>,
    /// Dataset and name of the fields that were added later.
    pub(crate) logpush_added_fields: Vec<(String, String)>,
    /// The datasets that the plan does not include.
    pub(crate) logpush_withheld: Vec<String>,
    /// The id of a removed job is not reused.
    pub(crate) last_job_id: u64,
    pub(crate) audit: Vec<AuditEntry>,
    pub(crate) access_logins: Vec<AccessLogin>,
    pub(crate) scim_updates: Vec<Value>,
    /// The revoked sessions, by their nonce.
    pub(crate) revoked_sessions: HashSet<String>,
    /// The users whose sessions were revoked, one entry per call.
    pub(crate) revocations: Vec<String>,
    /// Whether the plan includes risk scoring.
    pub(crate) risk_entitled: bool,
}

/// A user group of the account, and its memberships.
#[derive(Debug, Clone)]
pub(crate) struct UserGroup {
    pub(crate) group: Value,
    pub(crate) member_ids: Vec<String>,
}

/// The people, before lists are created from them.
pub(crate) struct Population {
    pub(crate) members: Vec<Person>,
    pub(crate) access_users: Vec<Person>,
}

impl Population {
    pub(crate) fn new(config: &SandboxConfig) -> Self {
        let cast = people::cast(config.seed);
        let fill = |mut people: Vec<Person>, wanted: usize, from: usize| {
            let missing = wanted.saturating_sub(people.len());
            people.extend(people::crowd(config.seed, from, missing));
            if !config.story {
                people.truncate(wanted.max(1));
            }
            people
        };
        let members: Vec<Person> = cast
            .iter()
            .filter(|person| person.membership != Membership::None)
            .cloned()
            .collect();
        let access_users: Vec<Person> = cast
            .iter()
            .filter(|person| person.is_access_user)
            .cloned()
            .collect();
        let members = fill(members, config.members, 0);
        // Half of the generated members are Zero Trust users too.
        let access_users = fill(access_users, config.access_users, config.members / 2);
        Self {
            members,
            access_users,
        }
    }
}

impl World {
    pub(crate) fn new(config: &SandboxConfig, now: DateTime<Utc>) -> Self {
        let mut ids = Ids::new(config.seed, "world");
        let account_id = ids.hex32();
        let account_name = config
            .account_name
            .clone()
            .unwrap_or_else(|| "Tidewater".to_owned());
        let founded = now - TimeDelta::days(700);
        let population = Population::new(config);
        let roles = role::all(config.roles);
        let members = population
            .members
            .iter()
            .map(|person| Member::new(person, &mut ids, &roles, &account_id))
            .collect::<Vec<_>>();
        let access_users: Vec<AccessUser> = population
            .access_users
            .iter()
            .map(|person| AccessUser::new(person, &mut ids, now))
            .collect();
        let identity_providers = organization::identity_providers();
        let rules = RuleSource::new(&account_id, &access_users, &members);
        let access_groups = group::groups(config, &access_users, &rules, now);
        let mut access_policies = policy::reusable(&access_groups, now);
        let mut access_apps = app::apps(&access_policies, now);
        if let Some(wanted) = config.apps {
            let missing = wanted.saturating_sub(access_apps.len());
            let more = GeneratedApps::new(config.seed, missing, &rules, &access_groups, now);
            access_policies.extend(more.policies);
            access_apps.extend(more.apps);
            policy::count_apps(&mut access_policies, &mut access_apps);
        }
        let user_groups = vec![UserGroup {
            group: json!({
                "id": hex32_of("user group: security team"), "name": "Security team",
                "created_on": rfc3339(founded), "modified_on": rfc3339(founded),
                "policies": [iam::policy("user group: security team", &account_id)],
            }),
            member_ids: members.iter().take(2).map(|member| member.id.clone()).collect(),
        }];
        let owner_id = members
            .first()
            .and_then(|owner| owner.user_id.clone())
            .unwrap_or_default();
        let owner_email = members
            .first()
            .map(|owner| owner.email.clone())
            .unwrap_or_default();
        Self {
            account: json!({
                "id": account_id, "name": account_name, "type": "enterprise", "created_on": rfc3339(founded),
                "settings": { "abuse_contact_email": address_of("abuse"), "enforce_twofactor": false },
            }),
            owner_id,
            owner_email,
            roles,
            risk: RiskScoring::new(config, &access_users, now),
            members: Register::new(members),
            access_users: Register::new(access_users),
            access_groups,
            access_policies,
            access_apps,
            identity_providers,
            organization: organization::organization(&account_name, now),
            service_tokens: service_token::service_tokens(now),
            account_tokens: account_token::account_tokens(&account_id, now),
            gateway_lists: gateway_list::lists(now),
            resource_groups: vec![iam::whole_account(&account_id)],
            user_groups,
            gateway_logging: json!({
                "redact_pii": false,
                "settings_by_rule_type": {
                    "dns": { "log_all": true, "log_blocks": true },
                    "http": { "log_all": true, "log_blocks": true },
                    "l4": { "log_all": true, "log_blocks": true },
                },
            }),
            metadata_boundary: None,
            logpush_jobs: Vec::new(),
            logpush_added_fields: Vec::new(),
            logpush_withheld: Vec::new(),
            last_job_id: 410_000,
            audit: Vec::new(),
            access_logins: Vec::new(),
            scim_updates: logs::scim_updates(&population.access_users, now),
            revoked_sessions: HashSet::new(),
            revocations: Vec::new(),
            risk_entitled: true,
            account_id,
            account_name,
            ids,
        }
    }
}

/// An address at the company for a purpose.
fn address_of(purpose: &str) -> String {
    format!("{purpose}@{}", people::DOMAIN)
}
