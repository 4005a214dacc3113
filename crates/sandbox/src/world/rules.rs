//! Generated Access rules: mostly addresses of people, and occasionally every other kind of selector.
//!
//! Large accounts use these rules for their groups and policies. The result depends only on the seed and on the object
//! (a team's number, an application's), never on the number of other objects.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::ids::{Ids, uuid_of};
use crate::world::access_user::AccessUser;
use crate::world::app::app_id;
use crate::world::gateway_list::{CONTRACTOR_LIST, OFFICE_LIST, list_id};
use crate::world::member::Member;
use crate::world::people::DOMAIN;
use crate::world::provider::{DEPARTMENT, ENGINEERING, Provider, azure_group_id};
use crate::world::service_token::service_token_id;

/// The kinds of [`RuleSource::special`].
const KINDS: usize = 24;
const COUNTRIES: &[&str] = &["GB", "DE", "FR", "SE", "NL", "US"];

/// The people and names that rules can refer to.
pub(crate) struct RuleSource<'a> {
    account_id: &'a str,
    users: &'a [AccessUser],
    members: &'a [Member],
    /// Members who are not Zero Trust users.
    only_members: Vec<&'a str>,
}

/// The three lists of rules of a group or a policy.
pub(crate) struct Rules {
    pub(crate) include: Vec<Value>,
    pub(crate) exclude: Vec<Value>,
    pub(crate) require: Vec<Value>,
}

impl<'a> RuleSource<'a> {
    pub(crate) fn new(account_id: &'a str, users: &'a [AccessUser], members: &'a [Member]) -> Self {
        let known: HashSet<String> = users.iter().map(|user| user.email.to_lowercase()).collect();
        let only_members = members
            .iter()
            .map(|member| member.email.as_str())
            .filter(|email| !known.contains(&email.to_lowercase()))
            .collect();
        Self {
            account_id,
            users,
            members,
            only_members,
        }
    }

    /// The rules of a team, about `size` of them. The team may include one of the `earlier` groups.
    pub(crate) fn team(&self, ids: &mut Ids, number: usize, size: usize, earlier: &[Value]) -> Rules {
        let spread = size / 4;
        let size = (size - spread + ids.below(2 * spread + 1)).max(1);
        let mut include = Vec::with_capacity(size);
        match number % 10 {
            // Three kinds each, so that eighty teams have shown all of them.
            3 => include.extend((0..3).map(|offset| self.special(ids, (number / 10) * 3 + offset, earlier))),
            7 => include.extend(nested(ids, earlier)),
            _ => {}
        }
        if number % 50 == 49 {
            include.push(json!({ "everyone": {} }));
        }
        include.truncate(size);
        let mut named = HashSet::new();
        while include.len() < size {
            let mut email = self.address(ids);
            // In a small account everyone is named before a team is full.
            for _ in 0..3 {
                if named.contains(&email.to_lowercase()) {
                    email = self.address(ids);
                }
            }
            named.insert(email.to_lowercase());
            include.push(json!({ "email": { "email": email } }));
        }
        let exclude = match number % 8 {
            5 => vec![self.email(ids), self.email(ids)],
            6 if ids.once_in(3) => vec![json!({ "geo": { "country_code": ids.pick(COUNTRIES) } })],
            _ => Vec::new(),
        };
        let require = match number % 12 {
            6 => vec![json!({ "auth_method": { "auth_method": "mfa" } })],
            10 => vec![posture()],
            11 if ids.once_in(2) => vec![json!({ "email_domain": { "domain": DOMAIN } })],
            _ => Vec::new(),
        };
        Rules {
            include,
            exclude,
            require,
        }
    }

    /// A rule that names one person.
    pub(crate) fn email(&self, ids: &mut Ids) -> Value {
        json!({ "email": { "email": self.address(ids) } })
    }

    /// Mostly the address of a Zero Trust user as listed; some in other letter case, some of people who are only
    /// members, and a few of former people.
    fn address(&self, ids: &mut Ids) -> String {
        let someone = |ids: &mut Ids| match self.users {
            [] => format!("someone@{DOMAIN}"),
            users => ids.pick(users).email.clone(),
        };
        match ids.below(100) {
            0..68 => someone(ids),
            68..80 if !self.members.is_empty() => ids.pick(self.members).email.clone(),
            80..88 if !self.only_members.is_empty() => (*ids.pick(&self.only_members)).to_owned(),
            88..92 => someone(ids).to_uppercase(),
            92..97 => capitalised(&someone(ids)),
            97.. => format!("left.long.ago{}@{DOMAIN}", ids.below(10_000)),
            _ => someone(ids),
        }
    }

    /// One rule that is not an address; `kind` counts through all kinds.
    pub(crate) fn special(&self, ids: &mut Ids, kind: usize, earlier: &[Value]) -> Value {
        let domain = json!({ "email_domain": { "domain": DOMAIN } });
        match kind % KINDS {
            0 => domain,
            1 => nested(ids, earlier).unwrap_or(domain),
            2 => json!({ "geo": { "country_code": ids.pick(COUNTRIES) } }),
            3 => json!({ "ip": { "ip": format!("198.18.{}.0/24", ids.below(200)) } }),
            4 => json!({ "okta": { "name": ENGINEERING, "identity_provider_id": Provider::Okta.id() } }),
            5 => json!({ "azureAD": {
                "id": azure_group_id(ENGINEERING), "identity_provider_id": Provider::Azure.id(),
            } }),
            6 => json!({ "saml": {
                "attribute_name": DEPARTMENT, "attribute_value": ENGINEERING,
                "identity_provider_id": Provider::Saml.id(),
            } }),
            7 => json!({ "oidc": {
                "claim_name": DEPARTMENT, "claim_value": ENGINEERING,
                "identity_provider_id": Provider::OpenIdConnect.id(),
            } }),
            8 => json!({ "github-organization": {
                "name": "tidewater", "team": "platform", "identity_provider_id": Provider::GitHub.id(),
            } }),
            9 => json!({ "gsuite": {
                "email": format!("engineering@{DOMAIN}"), "identity_provider_id": Provider::GoogleWorkspace.id(),
            } }),
            10 => json!({ "login_method": { "id": Provider::Okta.id() } }),
            11 => posture(),
            12 => json!({ "auth_method": { "auth_method": ids.pick(&["mfa", "hwk", "otp"]) } }),
            13 => json!({ "auth_context": {
                "id": uuid_of("auth context: compliant device"), "ac_id": "c1",
                "identity_provider_id": Provider::Azure.id(),
            } }),
            14 => json!({ "certificate": {} }),
            15 => json!({ "common_name": { "common_name": format!("kiosk-{}.{DOMAIN}", ids.below(40)) } }),
            16 => json!({ "ip_list": { "id": list_id(OFFICE_LIST) } }),
            17 => json!({ "email_list": { "id": list_id(CONTRACTOR_LIST) } }),
            18 => json!({ "service_token": { "token_id": service_token_id("Build pipeline") } }),
            19 => json!({ "any_valid_service_token": {} }),
            20 => json!({ "external_evaluation": {
                "evaluate_url": "https://evaluate.tidewater.example/access",
                "keys_url": "https://evaluate.tidewater.example/keys",
            } }),
            21 => json!({ "linked_app_token": { "app_uid": app_id("Wiki") } }),
            22 => json!({ "user_risk_score": { "user_risk_score": ["low", "unscored"] } }),
            _ => json!({ "cloudflare_account_member": { "account_id": self.account_id } }),
        }
    }
}

/// Refers only to an earlier group, so that no group includes itself.
fn nested(ids: &mut Ids, earlier: &[Value]) -> Option<Value> {
    if earlier.is_empty() {
        return None;
    }
    let group = ids.pick(earlier);
    Some(json!({ "group": { "id": group["id"] } }))
}

fn posture() -> Value {
    json!({ "device_posture": { "integration_uid": uuid_of("posture: disk encryption") } })
}

/// `tara.wong12@…` as a person might type it: `Tara.Wong12@…`.
fn capitalised(email: &str) -> String {
    let (local, domain) = email.split_once('@').unwrap_or((email, DOMAIN));
    let words: Vec<String> = local
        .split('.')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        })
        .collect();
    format!("{}@{domain}", words.join("."))
}
