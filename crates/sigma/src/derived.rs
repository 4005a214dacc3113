//! Fields that are derived from others: `URL.extension`, `QueryName.longest_label`, `person`.
//!
//! If a record has no key and no path with the name `<Field>.<what>`, the value is derived from the texts of `<Field>`.
//! [`add_to`] adds such values to a record for display.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::event::{Event, Scalar};

/// The field name for a record's identity, in every dataset.
pub const PERSON: &str = "person";

/// What is derived from a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Derivation {
    /// The number of characters.
    Length,
    /// The path of a URL, without query.
    Path,
    /// The text after the first `?` of a URL, without the fragment.
    Query,
    /// The text after the last dot of the last path segment, in lower case.
    Extension,
    /// The host of a URL, or the host name itself, in lower case.
    Host,
    /// The registered domain, according to the public suffix list.
    Etld1,
    /// The last label.
    Tld,
    /// The number of labels.
    Labels,
    /// The number of characters of the longest label.
    LongestLabel,
    /// The host with its Punycode labels decoded.
    Unicode,
    /// Bits per character of the longest label (Shannon).
    Entropy,
    /// Whether the host is an IP address.
    IsAddress,
}

/// A derived value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Derived<'a> {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
}

impl Derived<'_> {
    pub(crate) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Bool(truth) => Scalar::Bool(*truth),
            Self::Int(number) => Scalar::Int(*number),
            Self::Float(number) => Scalar::Float(*number),
            Self::Text(text) => Scalar::Text(text),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Bool(truth) => Value::from(*truth),
            Self::Int(number) => i64::try_from(*number).map_or(Value::Null, Value::from),
            Self::Float(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_ref()),
        }
    }
}

impl Derivation {
    /// The field and the derivation, if the name has this form.
    pub(crate) fn of_name(name: &str) -> Option<(&str, Self)> {
        let (field, what) = name.rsplit_once('.')?;
        let derivation = match what {
            "length" => Self::Length,
            "path" => Self::Path,
            "query" => Self::Query,
            "extension" => Self::Extension,
            "host" => Self::Host,
            "etld1" => Self::Etld1,
            "tld" => Self::Tld,
            "labels" => Self::Labels,
            "longest_label" => Self::LongestLabel,
            "unicode" => Self::Unicode,
            "entropy" => Self::Entropy,
            "is_address" => Self::IsAddress,
            _ => return None,
        };
        (!field.is_empty()).then_some((field, derivation))
    }

    /// The derived value of a text; `None` if the text has no such part.
    pub(crate) fn apply(self, text: &str) -> Option<Derived<'_>> {
        let some_text = |text: &str| !text.is_empty();
        Some(match self {
            Self::Length => Derived::Int(text.chars().count() as i128),
            Self::Path => Derived::Text(parts(text).path.filter(|path| some_text(path))?.into()),
            Self::Query => Derived::Text(parts(text).query.filter(|query| some_text(query))?.into()),
            Self::Extension => {
                let path = parts(text).path?;
                let last = path.rsplit('/').next()?;
                let (stem, extension) = last.rsplit_once('.')?;
                (some_text(extension) && some_text(stem)).then(|| Derived::Text(lower(extension)))?
            }
            Self::Host => Derived::Text(lower(host(text)?)),
            Self::Etld1 => Derived::Text(etld1(lower(host(text)?))?),
            Self::Tld => {
                let host = host(text).filter(|host| !is_address(host))?;
                Derived::Text(lower(host.rsplit('.').next()?))
            }
            Self::Labels => Derived::Int(labels(host(text)?).count() as i128),
            Self::LongestLabel => Derived::Int(longest_label(host(text)?)?.chars().count() as i128),
            Self::Unicode => Derived::Text(idna::domain_to_unicode(host(text)?).0.into()),
            Self::Entropy => Derived::Float(entropy(longest_label(host(text)?)?)),
            Self::IsAddress => Derived::Bool(is_address(host(text)?)),
        })
    }
}

struct Parts<'a> {
    host: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
}

/// The parts of a URL; a text without `://` is read as host and path.
fn parts(text: &str) -> Parts<'_> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match before.find('/') {
        Some(at) => (&before[..at], Some(&before[at..])),
        None => (before, None),
    };
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let host = if let Some(inside) = host_port.strip_prefix('[') {
        inside.split(']').next().unwrap_or_default()
    } else if host_port.bytes().filter(|byte| *byte == b':').count() == 1 {
        host_port.split(':').next().unwrap_or_default()
    } else {
        host_port
    };
    let host = host.trim_end_matches('.');
    Parts {
        host: (!host.is_empty()).then_some(host),
        path,
        query,
    }
}

fn host(text: &str) -> Option<&str> {
    parts(text).host
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

fn labels(host: &str) -> impl Iterator<Item = &str> {
    host.split('.').filter(|label| !label.is_empty())
}

fn longest_label(host: &str) -> Option<&str> {
    labels(host).max_by_key(|label| label.len())
}

fn etld1(host: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if is_address(&host) {
        return None;
    }
    match host {
        Cow::Borrowed(host) => psl::domain_str(host).map(Cow::Borrowed),
        Cow::Owned(host) => psl::domain_str(&host).map(|domain| Cow::Owned(domain.to_owned())),
    }
}

fn entropy(label: &str) -> f64 {
    let mut counts = [0_u32; 256];
    label
        .bytes()
        .for_each(|byte| counts[usize::from(byte.to_ascii_lowercase())] += 1);
    let all = label.len() as f64;
    let bits = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / all;
            -share * share.log2()
        })
        .sum::<f64>();
    // Rounded, so that the value reads well and does not hang on the order of the sum.
    (bits * 1000.0).round() / 1000.0
}

/// The identities of a record: the texts of the first of these fields that has any, in lower case. There are several if
/// the field is a list, such as the recipients of a mail.
pub(crate) fn people(record: &Value, identity: &[String]) -> Vec<String> {
    identity
        .iter()
        .find_map(|field| {
            let mut found: Vec<String> = Vec::new();
            record.field(field, &mut |scalar| {
                add_person(scalar, &mut found);
                false
            });
            (!found.is_empty()).then_some(found)
        })
        .unwrap_or_default()
}

pub(crate) fn add_person(scalar: Scalar<'_>, found: &mut Vec<String>) {
    if let Scalar::Text(text) = scalar
        && !text.trim().is_empty()
    {
        let person = text.trim().to_lowercase();
        if !found.contains(&person) {
            found.push(person);
        }
    }
}

/// Adds the value of `name` to `record`, if `name` is a derived field and the record has no value with that name.
/// `identity` lists the fields that may contain the record's identity.
pub fn add_to(record: &mut Value, name: &str, identity: &[String]) {
    if !record.is_object() || record.field(name, &mut |_| true) {
        return;
    }
    let mut found: Vec<Value> = Vec::new();
    if name == PERSON {
        found.extend(people(record, identity).into_iter().map(Value::from));
    } else {
        let Some((field, derivation)) = Derivation::of_name(name) else {
            return;
        };
        record.field(field, &mut |scalar| {
            if let Scalar::Text(text) = scalar {
                found.extend(derivation.apply(text).map(|derived| derived.value()));
            }
            false
        });
    }
    let found = match found.len() {
        0 => None,
        1 => found.pop(),
        _ => Some(Value::Array(found)),
    };
    if let (Some(found), Some(map)) = (found, record.as_object_mut()) {
        map.insert(name.to_owned(), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_of_a_url_and_of_a_name() {
        let record = json!({
            "URL": "https://User@Files.Example.co.uk:8443/a/B.tar.GZ?x=1&y=2#z",
            "Raw": "http://203.0.113.9/x", "Six": "https://[2001:db8::1]:443/",
            "Q": "aaaabbbb.Mail.EXAMPLE.com.", "P": "xn--bcher-kva.example", "L": ["a.b.example.com", "c.org"],
            "URL.path": null,
        });
        for (name, expected) in [
            ("URL.query", json!("x=1&y=2")),
            ("URL.extension", json!("gz")),
            ("URL.host", json!("files.example.co.uk")),
            ("URL.etld1", json!("example.co.uk")),
            ("URL.path", json!(null)),
            ("Raw.is_address", json!(true)),
            ("Raw.path", json!("/x")),
            ("Raw.extension", json!(null)),
            ("Raw.tld", json!(null)),
            ("Raw.etld1", json!(null)),
            ("Six.is_address", json!(true)),
            ("Q.length", json!(26)),
            ("Q.labels", json!(4)),
            ("Q.longest_label", json!(8)),
            ("Q.entropy", json!(1.0)),
            ("Q.tld", json!("com")),
            ("Q.etld1", json!("example.com")),
            ("Q.is_address", json!(false)),
            ("P.unicode", json!("b\u{fc}cher.example")),
            ("L.etld1", json!(["example.com", "c.org"])),
            ("Nothing.length", json!(null)),
            ("Q.colour", json!(null)),
        ] {
            let mut record = record.clone();
            add_to(&mut record, name, &[]);
            assert_eq!(record.get(name).cloned().unwrap_or_default(), expected, "{name}");
        }
    }

    #[test]
    fn the_person_is_the_first_identity_there_is() {
        let identity = ["Email".to_owned(), "Asset.owner".to_owned(), "To".to_owned()];
        for (record, expected) in [
            (
                json!({"Email": " Ana@Corp.example ", "Asset": {"owner": "x"}}),
                vec!["ana@corp.example"],
            ),
            (json!({"Email": "", "Asset": {"owner": "Bo"}}), vec!["bo"]),
            (json!({"To": ["A@x", "b@x", "a@X"]}), vec!["a@x", "b@x"]),
            (json!({"Email": null}), vec![]),
        ] {
            assert_eq!(people(&record, &identity), expected);
        }
    }
}
