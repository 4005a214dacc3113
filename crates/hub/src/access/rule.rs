//! One Access rule: which selector it is and what it asks.
//!
//! Cloudflare has 26 kinds of selector and adds about two a year; one that is not known here reads as unknown,
//! never as "no match". Pure. Start reading at [`Selector::read`].
//!
//! Source of the kinds: Cloudflare's API description, the access rule schema.

use model::address;
use serde_json::Value;

/// What a rule asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// An address, in lower case.
    Email(Box<str>),
    /// A mail domain, in lower case.
    EmailDomain(Box<str>),
    /// An address on a Zero Trust list, by the list's id.
    EmailList(Box<str>),
    /// Everyone.
    Everyone,
    /// Members of another Access group, by its id.
    Group(Box<str>),
    /// Something that the identity provider says about a person.
    AtProvider {
        /// The provider's id; empty when the rule names none.
        provider: Box<str>,
        /// What it has to say.
        claim: Claim,
    },
    /// An accepted member of a Cloudflare account, who signs in with Cloudflare; the account's id, or its own.
    AccountMember(Option<Box<str>>),
    /// Something known only at the moment of access.
    Contextual {
        /// In words.
        what: Box<str>,
        /// Whether it is asked of someone who has signed in, and so cannot be asked before.
        needs_login: bool,
    },
    /// Signing in with one identity provider, by its id.
    LoginMethod(Box<str>),
    /// A service's token, in words: no person presents one.
    ServiceToken(Box<str>),
    /// Something that cannot be known here, in words.
    Unknown(Box<str>),
}

/// What an identity provider says about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A group, by its id, name or address, whichever the provider has.
    Group {
        /// The selector's name, for messages.
        kind: &'static str,
        /// What identifies the group, in lower case.
        key: Box<str>,
    },
    /// A GitHub organisation, or one of its teams.
    GitHub {
        /// The organisation's name, in lower case.
        organization: Box<str>,
        /// The team's name, in lower case.
        team: Option<Box<str>>,
    },
    /// A SAML attribute with a value.
    Saml {
        /// The attribute.
        name: Box<str>,
        /// The value.
        value: Box<str>,
    },
    /// An OIDC claim with a value.
    Oidc {
        /// The claim.
        name: Box<str>,
        /// The value.
        value: Box<str>,
    },
}

impl Selector {
    /// Whether it asks who someone is. Before anyone has signed in, no such rule can hold.
    ///
    /// Source: Cloudflare's documentation of Access policies, "Bypass" (identity-based rules are not supported)
    /// and the column "identity-based" of its table of selectors. A group is as the rules in it are.
    pub fn asks_identity(&self) -> bool {
        match self {
            Selector::Email(_)
            | Selector::EmailDomain(_)
            | Selector::EmailList(_)
            | Selector::AtProvider { .. }
            | Selector::AccountMember(_)
            | Selector::LoginMethod(_) => true,
            Selector::Contextual { needs_login, .. } => *needs_login,
            Selector::Everyone | Selector::Group(_) | Selector::ServiceToken(_) | Selector::Unknown(_) => {
                false
            }
        }
    }

    /// The identity provider that someone must have signed in with, by its id in lower case, where the rule names
    /// one.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Selector::AtProvider { provider, .. } => Some(&**provider).filter(|id| !id.is_empty()),
            Selector::LoginMethod(id) => Some(id),
            _ => None,
        }
    }

    /// Reads one rule object: its one key names the selector.
    pub fn read(rule: &Value) -> Selector {
        let Some(object) = rule.as_object() else {
            return Selector::Unknown("a rule that is not a JSON object".into());
        };
        let (1, Some((kind, inner))) = (object.len(), object.iter().next()) else {
            return Selector::Unknown("a rule with several selectors".into());
        };
        let exact = |member: &str| {
            inner
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim()
        };
        let lower = |member: &str| -> Box<str> { exact(member).to_lowercase().into() };
        let at_provider = |claim| Selector::AtProvider {
            provider: lower("identity_provider_id"),
            claim,
        };
        let group = |kind, member: &str| {
            at_provider(Claim::Group {
                kind,
                key: lower(member),
            })
        };
        let context = |text: &str, words: &str, needs_login: bool| Selector::Contextual {
            what: format!("{words}{text}").into(),
            needs_login,
        };
        // What the connection or the device shows, without anyone signing in.
        let named = |text: &str, words: &str| context(text, words, false);
        let of_login = |text: &str, words: &str| context(text, words, true);
        match kind.as_str() {
            "email" if !exact("email").is_empty() => {
                Selector::Email(address::compared(exact("email")).into())
            }
            "email_domain" if !exact("domain").is_empty() => {
                Selector::EmailDomain(address::canonical_domain(exact("domain")).into())
            }
            "email_list" if !exact("id").is_empty() => Selector::EmailList(lower("id")),
            "everyone" => Selector::Everyone,
            "group" if !exact("id").is_empty() => Selector::Group(lower("id")),
            "azureAD" if !exact("id").is_empty() => group("azureAD", "id"),
            "gsuite" if !exact("email").is_empty() => group("gsuite", "email"),
            "okta" if !exact("name").is_empty() => group("okta", "name"),
            "github-organization" if !exact("name").is_empty() => at_provider(Claim::GitHub {
                organization: lower("name"),
                team: Some(lower("team")).filter(|team| !team.is_empty()),
            }),
            "saml" if !exact("attribute_name").is_empty() => at_provider(Claim::Saml {
                name: exact("attribute_name").into(),
                value: exact("attribute_value").into(),
            }),
            "oidc" if !exact("claim_name").is_empty() => at_provider(Claim::Oidc {
                name: exact("claim_name").into(),
                value: exact("claim_value").into(),
            }),
            "cloudflare_account_member" => {
                Selector::AccountMember(Some(lower("account_id")).filter(|id| !id.is_empty()))
            }
            "ip" => named(exact("ip"), "IP address in "),
            "ip_list" => named(exact("id"), "IP address on the list "),
            "geo" => named(&exact("country_code").to_uppercase(), "country "),
            "certificate" => named("", "valid client certificate"),
            "common_name" => named(exact("common_name"), "client certificate for "),
            "device_posture" => named(exact("integration_uid"), "device posture check "),
            "auth_method" => of_login(exact("auth_method"), "authentication method "),
            "auth_context" => of_login(exact("ac_id"), "authentication context "),
            "login_method" if !exact("id").is_empty() => Selector::LoginMethod(lower("id")),
            "external_evaluation" => named(exact("evaluate_url"), "external evaluation by "),
            "service_token" => {
                Selector::ServiceToken(format!("the service token {}", exact("token_id")).into())
            }
            "any_valid_service_token" => Selector::ServiceToken("any valid service token".into()),
            "linked_app_token" => named(exact("app_uid"), "token of the application "),
            "user_risk_score" => {
                let levels: Vec<&str> = inner
                    .get("user_risk_score")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                of_login(&levels.join(" or "), "Cloudflare risk score ")
            }
            known if KINDS.contains(&known) => {
                Selector::Unknown(format!("a \"{known}\" rule with a missing value").into())
            }
            other => Selector::Unknown(format!("an unsupported rule of type \"{other}\"").into()),
        }
    }
}

impl Claim {
    /// The type of identity provider that alone can say so, in lower case; `None` where several can.
    pub fn provider_type(&self) -> Option<&'static str> {
        match self {
            Claim::Group { kind: "okta", .. } => Some("okta"),
            Claim::Group { kind: "azureAD", .. } => Some("azuread"),
            Claim::Group { kind: "gsuite", .. } => Some("google-apps"),
            Claim::GitHub { .. } => Some("github"),
            Claim::Group { .. } | Claim::Saml { .. } | Claim::Oidc { .. } => None,
        }
    }
}

/// Every kind of selector that is known here.
pub const KINDS: [&str; 26] = [
    "any_valid_service_token",
    "auth_context",
    "auth_method",
    "azureAD",
    "certificate",
    "cloudflare_account_member",
    "common_name",
    "device_posture",
    "email",
    "email_domain",
    "email_list",
    "everyone",
    "external_evaluation",
    "geo",
    "github-organization",
    "group",
    "gsuite",
    "ip",
    "ip_list",
    "linked_app_token",
    "login_method",
    "oidc",
    "okta",
    "saml",
    "service_token",
    "user_risk_score",
];

/// A rule in words, for people: what it asks, without its verdict.
pub fn in_words(rule: &Value) -> String {
    match Selector::read(rule) {
        Selector::Email(email) => format!("address {}", address::shown(&email)),
        Selector::EmailDomain(domain) => format!("domain {}", address::shown(&domain)),
        Selector::EmailList(id) => format!("on the email list {id}"),
        Selector::Everyone => "everyone".to_owned(),
        Selector::Group(id) => format!("group {id}"),
        Selector::AtProvider { claim, .. } => claim.to_string(),
        Selector::AccountMember(None) => "a member of this Cloudflare account".to_owned(),
        Selector::AccountMember(Some(id)) => format!("a member of the Cloudflare account {id}"),
        Selector::LoginMethod(id) => format!("sign-in with the identity provider {id}"),
        Selector::Contextual { what, .. } | Selector::ServiceToken(what) | Selector::Unknown(what) => {
            what.into()
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Claim::Group { kind, key } => write!(f, "group {key} at the identity provider ({kind})"),
            Claim::GitHub {
                organization,
                team: None,
            } => write!(f, "organisation {organization} at GitHub"),
            Claim::GitHub {
                organization,
                team: Some(team),
            } => write!(f, "team {team} of {organization} at GitHub"),
            Claim::Saml { name, value } => {
                write!(f, "SAML attribute {name} = {value} at the identity provider")
            }
            Claim::Oidc { name, value } => write!(f, "OIDC claim {name} = {value} at the identity provider"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_known_kind_reads_as_something_and_a_new_one_as_unknown() {
        for kind in KINDS {
            let text = in_words(&json!({ kind: {} }));
            assert!(!text.contains("not known here"), "{kind}: {text}");
        }
        assert!(matches!(
            Selector::read(&json!({ "office_badge": { "badge": "violet" } })),
            Selector::Unknown(_)
        ));
        for broken in [
            json!(null),
            json!("email"),
            json!({}),
            json!({ "email": {} }),
            json!({ "email": { "email": 7 } }),
        ] {
            assert!(
                matches!(Selector::read(&broken), Selector::Unknown(_)),
                "{broken}"
            );
        }
        let two = json!({ "everyone": {}, "geo": { "country_code": "PT" } });
        assert!(matches!(Selector::read(&two), Selector::Unknown(_)));
    }
}
