//! The subject of an event: RFC 9493 subject identifiers and the complex subject of SSF 1.0.
//!
//! Only the formats that a risk transmitter writes. Start reading at [`Subject`].

use serde::{Deserialize, Serialize};

/// One subject identifier, in the JSON format of RFC 9493 §3 (`{"format": ...}`).
///
/// Parsing refuses members that a format does not define, as the RFC requires.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A mail address (RFC 9493 §3.2.2). The receiver decides whether letter case matters.
    Email {
        /// The address (`addr-spec` of RFC 5322), never empty.
        email: String,
    },
    /// A subject at an issuer of identity tokens (RFC 9493 §3.2.3).
    IssSub {
        /// The issuer, as in the `iss` of its tokens.
        iss: String,
        /// The subject, as in the `sub` of its tokens.
        sub: String,
    },
    /// A name that has meaning only for sender and receiver (RFC 9493 §3.2.4). SSF uses it for streams.
    Opaque {
        /// The identifier, never empty.
        id: String,
    },
    /// Several simple identifiers that together describe one principal (SSF 1.0 §3.3).
    Complex(Box<ComplexSubject>),
}

/// The members of a complex subject. Each is a simple identifier, and at least one is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComplexSubject {
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Subject>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Subject>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Subject>,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Subject>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Subject>,
    /// The organisational unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_unit: Option<Subject>,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Subject>,
}

/// Why a subject cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// RFC 9493 §3: members of an identifier must not be empty.
    #[error("the field {member} of the subject is empty")]
    Empty {
        /// The member.
        member: &'static str,
    },
    /// A complex subject inside a complex subject.
    #[error("the field {member} of a complex subject is itself complex")]
    Nested {
        /// The member.
        member: &'static str,
    },
    /// A complex subject without members.
    #[error("a complex subject requires at least one field")]
    NoMember,
}

impl Subject {
    /// A subject identified by mail address.
    pub fn email(address: impl Into<String>) -> Self {
        Self::Email {
            email: address.into(),
        }
    }

    /// A subject identified by the issuer and subject of its identity tokens.
    pub fn iss_sub(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self::IssSub {
            iss: issuer.into(),
            sub: subject.into(),
        }
    }

    /// A subject with an identifier that has meaning only for sender and receiver.
    pub fn opaque(id: impl Into<String>) -> Self {
        Self::Opaque { id: id.into() }
    }

    /// Checks the rules that the types cannot express.
    ///
    /// # Errors
    ///
    /// [`SubjectError`] names the member and the rule.
    pub fn check(&self) -> Result<(), SubjectError> {
        let filled = |member, value: &str| {
            if value.trim().is_empty() {
                Err(SubjectError::Empty { member })
            } else {
                Ok(())
            }
        };
        match self {
            Self::Email { email } => filled("email", email),
            Self::IssSub { iss, sub } => filled("iss", iss).and_then(|()| filled("sub", sub)),
            Self::Opaque { id } => filled("id", id),
            Self::Complex(parts) => {
                let members = parts.members();
                if members.is_empty() {
                    return Err(SubjectError::NoMember);
                }
                for (member, part) in members {
                    if matches!(part, Self::Complex(_)) {
                        return Err(SubjectError::Nested { member });
                    }
                    part.check()?;
                }
                Ok(())
            }
        }
    }
}

impl ComplexSubject {
    /// The members that are set, in the order of SSF 1.0 §3.3.
    pub fn members(&self) -> Vec<(&'static str, &Subject)> {
        [
            ("user", &self.user),
            ("device", &self.device),
            ("session", &self.session),
            ("application", &self.application),
            ("tenant", &self.tenant),
            ("org_unit", &self.org_unit),
            ("group", &self.group),
        ]
        .into_iter()
        .filter_map(|(name, member)| Some((name, member.as_ref()?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_format_is_written_as_its_standard_says() {
        let complex = Subject::Complex(Box::new(ComplexSubject {
            user: Some(Subject::email("jo@corp.example")),
            device: Some(Subject::opaque("d-1")),
            ..Default::default()
        }));
        for (subject, shape) in [
            (
                Subject::email("jo@corp.example"),
                json!({"format": "email", "email": "jo@corp.example"}),
            ),
            (
                Subject::iss_sub("https://idp.example", "42"),
                json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "42"}),
            ),
            (Subject::opaque("s-1"), json!({"format": "opaque", "id": "s-1"})),
            (
                complex,
                json!({"format": "complex",
                    "user": {"format": "email", "email": "jo@corp.example"},
                    "device": {"format": "opaque", "id": "d-1"}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&subject).unwrap(), shape);
            assert_eq!(serde_json::from_value::<Subject>(shape).unwrap(), subject);
            assert_eq!(subject.check(), Ok(()));
        }
    }

    #[test]
    fn a_member_that_the_format_does_not_define_is_refused() {
        let odd = json!({"format": "email", "email": "jo@corp.example", "name": "Jo"});
        assert!(serde_json::from_value::<Subject>(odd).is_err());
    }

    #[test]
    fn empty_and_nested_members_may_not_be_sent() {
        assert_eq!(
            Subject::email(" ").check(),
            Err(SubjectError::Empty { member: "email" })
        );
        assert_eq!(
            Subject::Complex(Box::default()).check(),
            Err(SubjectError::NoMember)
        );
        let nested = ComplexSubject {
            group: Some(Subject::Complex(Box::default())),
            ..Default::default()
        };
        assert_eq!(
            Subject::Complex(Box::new(nested)).check(),
            Err(SubjectError::Nested { member: "group" })
        );
    }
}
