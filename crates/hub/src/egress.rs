//! The egress guard: nothing leaves for an address that someone typed without passing here.
//!
//! An address must be `https`, and every network address that its host resolves to must be public, except what
//! the operator allows. The name is resolved for each connection by the guard itself, and the connection goes
//! to the addresses that were checked: a name that answers differently the second time gains nothing.
//! Redirects are not followed.

use crate::settings;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// Decides which addresses may be called, and builds the clients that call them.
#[derive(Debug, Clone)]
pub struct EgressGuard {
    rules: Arc<settings::Egress>,
    http: reqwest::Client,
}

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// It is not an address at all.
    #[error("invalid URL \"{0}\": use a URL such as https://host/path")]
    NotAnAddress(String),
    /// It is not encrypted.
    #[error("{0} must start with https:// (to allow http, set FLAREWARD_EGRESS_ALLOW_HTTP=true)")]
    NotEncrypted(String),
    /// It has what no base of an address has.
    #[error("{0} must not contain a query or fragment")]
    NotPlain(String),
    /// It carries a user name or password.
    #[error("{0} must not contain a user name or password")]
    Credentials(String),
    /// It leads to this machine or into a private network.
    #[error(
        "{0} resolves to an address that is not public (to allow it, set \
             FLAREWARD_EGRESS_ALLOW_LOOPBACK=true for this machine, or FLAREWARD_EGRESS_PRIVATE_HOSTS \
             for other hosts)"
    )]
    NotPublic(String),
    /// An Okta tenant must be at Okta.
    #[error(
        "{host} is not an Okta host: it must end in one of {endings} (to allow others, set \
             FLAREWARD_EGRESS_OKTA_HOSTS)"
    )]
    NotOkta {
        /// The host.
        host: String,
        /// What would do.
        endings: String,
    },
}

impl EgressGuard {
    /// A guard with these rules.
    ///
    /// # Errors
    ///
    /// When the TLS library cannot start.
    pub fn new(rules: settings::Egress) -> Result<Self, reqwest::Error> {
        let rules = Arc::new(rules);
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(CheckedResolver {
                rules: Arc::clone(&rules),
            }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("flareward/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { rules, http })
    }

    /// The client for addresses that [`EgressGuard::check`] let pass. It checks again when it connects.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Whether an address may be called, as far as its text tells. What its name resolves to is checked when
    /// it is called.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for the person who typed it.
    pub fn check(&self, address: &str) -> Result<Url, EgressError> {
        let no_address = || EgressError::NotAnAddress(echoed(address));
        // A parser of addresses leaves tabs and line breaks out, so that what is called is not what was read.
        if address.trim().contains(model::printable::is_unprintable) {
            return Err(no_address());
        }
        let url = Url::parse(address.trim()).map_err(|_| no_address())?;
        let shown = || url.host_str().unwrap_or_default().to_owned();
        let host = url.host().ok_or_else(no_address)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_address());
        }
        if url.scheme() == "http" && !self.rules.allow_http {
            return Err(EgressError::NotEncrypted(shown()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Credentials(shown()));
        }
        let literal = match host {
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Host::Domain(name) if is_loopback_name(name) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Host::Domain(_) => None,
        };
        if let Some(ip) = literal
            && !may_reach(&self.rules, url.host_str().unwrap_or_default(), ip)
        {
            return Err(EgressError::NotPublic(shown()));
        }
        Ok(url)
    }

    /// The same for an address to which paths are added: it has no query and no fragment.
    ///
    /// # Errors
    ///
    /// As [`EgressGuard::check`], and [`EgressError::NotPlain`].
    pub fn check_base(&self, address: &str) -> Result<Url, EgressError> {
        let url = self.check(address)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EgressError::NotPlain(
                url.host_str().unwrap_or_default().to_owned(),
            ));
        }
        Ok(url)
    }

    /// The same for the tenant of an Okta integration, whose host must be Okta's.
    ///
    /// # Errors
    ///
    /// As [`EgressGuard::check`], and [`EgressError::NotOkta`].
    pub fn check_okta(&self, tenant_url: &str) -> Result<Url, EgressError> {
        let url = self.check_base(tenant_url)?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_okta = self
            .rules
            .okta_hosts
            .iter()
            .any(|ending| host.ends_with(&ending.to_ascii_lowercase()));
        let is_allowed_loopback = self.rules.allow_loopback
            && (is_loopback_name(&host)
                || host
                    .trim_matches(['[', ']'])
                    .parse()
                    .is_ok_and(|ip: IpAddr| ip.is_loopback()));
        if is_okta || is_allowed_loopback {
            Ok(url)
        } else {
            Err(EgressError::NotOkta {
                host,
                endings: self.rules.okta_hosts.join(", "),
            })
        }
    }
}

/// What a person typed as an address, without the user name and password that it may carry.
pub fn echoed(address: &str) -> String {
    const CHARS: usize = 200;
    let begin = address.find("://").map_or(0, |at| at + 3);
    let rest = &address[begin..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let shown = match rest[..end].rfind('@') {
        Some(at) => format!("{}…{}", &address[..begin], &rest[at..]),
        None => address.to_owned(),
    };
    // What follows a question mark may be a secret as well.
    let shown = shown.split('?').next().unwrap_or_default();
    shown.chars().take(CHARS).collect()
}

struct CheckedResolver {
    rules: Arc<settings::Egress>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let refused = found
                .iter()
                .any(|address| !may_reach(&rules, &host, address.ip()));
            if refused || found.is_empty() {
                return Err(EgressError::NotPublic(host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn may_reach(rules: &settings::Egress, host: &str, ip: IpAddr) -> bool {
    let ip = match ip {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    if ip.is_loopback() {
        return rules.allow_loopback;
    }
    let host = host.trim_matches(['[', ']']);
    is_public(ip)
        || rules
            .private_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
}

/// The IPv4 address inside a mapped, NAT64 or 6to4 address, which routers may deliver to.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let low = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff | 0) if (g, h) != (0, 0) && ip != Ipv6Addr::LOCALHOST => Some(low(g, h)),
        (0x64, 0xff9b, 0, 0, 0, 0) => Some(low(g, h)),
        (0x2002, ..) => Some(low(b, c)),
        _ => None,
    }
}

/// Whether an address is reachable from everywhere, by IANA's registries of special-purpose addresses.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(a == 0
                || ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && (c == 0 || c == 2))
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                || (a == 198 && b == 51 && c == 100)
                || (a == 203 && b == 0 && c == 113)
                || a >= 224)
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            // Only 2000::/3 is given out; of it, documentation and benchmarking are not.
            (a & 0xe000) == 0x2000
                && !(a == 0x2001 && b == 0x0db8)
                && !(a == 0x2001 && b < 0x0200)
                && (a, b & 0xfff0) != (0x3fff, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(change: impl FnOnce(&mut settings::Egress)) -> EgressGuard {
        let mut rules = settings::Egress::default();
        change(&mut rules);
        EgressGuard::new(rules).unwrap()
    }

    #[test]
    fn a_refused_address_is_echoed_without_what_may_be_secret_in_it() {
        for (typed, shown) in [
            (
                "ftp://ana:s3cret@files.example/x?key=s3cret",
                "ftp://…@files.example/x",
            ),
            ("https://ana:s3c@ret@files.example", "https://…@files.example"),
            ("ana:s3cret@files.example", "…@files.example"),
            ("https://files.example/a@b", "https://files.example/a@b"),
        ] {
            assert_eq!(echoed(typed), shown);
        }
        let strict = guard(|_| {});
        for typed in [
            "ftp://ana:s3cret@files.example/",
            "https://ana:s3cret@files.example/",
            "s3 cret",
        ] {
            let refused = strict.check(typed).unwrap_err().to_string();
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn a_base_is_plain_and_no_address_has_what_cannot_be_seen() {
        let strict = guard(|_| {});
        strict.check("https://chat.example/hook?key=1").unwrap();
        assert!(matches!(
            strict.check_base("https://api.example/?a=1"),
            Err(EgressError::NotPlain(_))
        ));
        assert!(matches!(
            strict.check_okta("https://corp.okta.com/#x"),
            Err(EgressError::NotPlain(_))
        ));
        for hidden in [
            "https://api.exa\nmple/",
            "https://api.example/\u{202e}",
            "https://api\t.example/",
        ] {
            assert!(
                matches!(strict.check(hidden), Err(EgressError::NotAnAddress(_))),
                "{hidden:?}"
            );
        }
    }

    #[test]
    fn only_public_encrypted_addresses_pass() {
        let strict = guard(|_| {});
        strict.check("https://hooks.slack.com/services/T/B/x").unwrap();
        strict.check("https://8.8.8.8/").unwrap();
        for refused in [
            "http://hooks.slack.com/",
            "https://user:pass@hooks.slack.com/",
            "https://127.0.0.1/",
            "https://localhost./",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::7f00:1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[2001:db8::1]/",
            "ftp://hooks.slack.com/",
            "file:///etc/passwd",
            "hooks.slack.com",
            "https://",
        ] {
            assert!(strict.check(refused).is_err(), "{refused} passed");
        }
    }

    #[test]
    fn the_operator_can_allow_loopback_and_single_private_hosts() {
        let demo = guard(|rules| {
            rules.allow_http = true;
            rules.allow_loopback = true;
        });
        demo.check("http://127.0.0.1:9/okta").unwrap();
        demo.check_okta("http://127.0.0.1:9/okta").unwrap();
        assert!(demo.check("http://10.0.0.1/").is_err());
        let inside = guard(|rules| rules.private_hosts = vec!["10.0.0.1".to_owned()]);
        inside.check("https://10.0.0.1/hook").unwrap();
    }

    #[test]
    fn an_okta_tenant_is_at_okta() {
        let strict = guard(|_| {});
        strict.check_okta("https://tenant.okta.com").unwrap();
        assert!(matches!(
            strict.check_okta("https://tenant.okta.com.evil.example"),
            Err(EgressError::NotOkta { .. })
        ));
        assert!(matches!(
            strict.check_okta("https://okta.com"),
            Err(EgressError::NotOkta { .. })
        ));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_connected_to() {
        // The address is checked as text by `check`; this asks what happens at connect time.
        let strict = guard(|_| {});
        let resolver = CheckedResolver {
            rules: strict.rules.clone(),
        };
        let answer = resolver.resolve("localhost".parse().unwrap()).await;
        assert!(answer.is_err());
    }
}
