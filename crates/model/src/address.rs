//! E-mail addresses and domains: the form for comparison, and the form for display.
//!
//! Cloudflare writes an international domain in either of its two spellings (`bücher.example` and
//! `xn--bcher-kva.example`), in rules and in lists. Flareward stores and compares one form: the local part in Unicode
//! normal form C and lower case, the domain as A-labels in lower case. People see the Unicode form. Pure. Start reading
//! at [`canonical`].
//!
//! Source: RFC 6532, section 3.1 (normal form C); UTS #46, non-transitional (domains).

use unicode_normalization::UnicodeNormalization;

/// The form of an address for comparison; `None` if the text is not an address.
pub fn canonical(text: &str) -> Option<String> {
    let (local, domain) = text.trim().rsplit_once('@')?;
    let is_text = |part: &str| !part.contains(|c: char| c.is_whitespace() || c.is_control());
    if local.is_empty() || domain.is_empty() || !is_text(local) || !is_text(domain) {
        return None;
    }
    let domain = canonical_domain(domain);
    (!domain.is_empty()).then(|| format!("{}@{domain}", folded(local)))
}

/// The same for a value that may be something other than an address, such as a name in a log. Such a value is only
/// folded.
pub fn compared(text: &str) -> String {
    canonical(text).unwrap_or_else(|| folded(text.trim()))
}

/// The form of a domain for comparison: A-labels in lower case, without a leading `@` or a trailing dot.
pub fn canonical_domain(text: &str) -> String {
    let text = text.trim().trim_start_matches('@').trim_end_matches('.');
    let is_plain = text.is_ascii() && !text.to_ascii_lowercase().contains("xn--");
    if is_plain {
        return text.to_ascii_lowercase();
    }
    // What is no domain by the standard can still be equal to itself.
    idna::domain_to_ascii(text)
        .ok()
        .map(|domain| domain.trim_end_matches('.').to_owned())
        .filter(|domain| !domain.is_empty())
        .unwrap_or_else(|| folded(text))
}

/// The form of an address or a domain for display: its domain in Unicode.
pub fn shown(text: &str) -> String {
    let (local, domain) = match text.rsplit_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, text),
    };
    if !domain.to_ascii_lowercase().contains("xn--") {
        return text.to_owned();
    }
    let (unicode, valid) = idna::domain_to_unicode(domain);
    match (valid, local) {
        (Err(_), _) => text.to_owned(),
        (Ok(()), Some(local)) => format!("{local}@{unicode}"),
        (Ok(()), None) => unicode,
    }
}

/// The domain of an address in its form for comparison.
pub fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Lower case of a composed letter may be decomposed.
    text.nfc().collect::<String>().to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_one() {
        for (one, other) in [
            ("Eva@Bücher.example", "eva@xn--bcher-kva.example"),
            ("eva@BÜCHER.EXAMPLE.", "EVA@XN--BCHER-KVA.example"),
            ("eva@bu\u{308}cher.example", "eva@bücher.example"),
            ("eva@bücher。example", "eva@bücher.example"),
            ("rene\u{301}@x.example", "RENÉ@x.example"),
            (" ana@x.example ", "Ana@X.example"),
            ("straße@faß.example", "STRAßE@xn--fa-hia.example"),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one} and {other}");
            assert!(canonical(one).is_some(), "{one}");
        }
        assert_ne!(canonical("a@fass.example"), canonical("a@faß.example"));
        assert_ne!(canonical("rene@x.example"), canonical("rené@x.example"));
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "ana",
            "@x.example",
            "ana@",
            "ana @x.example",
            "ana@x .example",
            "a\u{0}b@x",
            "ana@.",
        ] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
        assert_eq!(compared("TIDEWATER\\Ben"), "tidewater\\ben");
    }

    #[test]
    fn canonical_is_canonical_already() {
        for text in [
            "Eva@Bücher.example",
            "a@xn--zz9999999.example",
            "a@[192.0.2.1]",
            "ΣΊΣΥΦΟΣ@x.example",
        ] {
            let once = canonical(text).unwrap();
            assert_eq!(canonical(&once).as_deref(), Some(once.as_str()), "{text}");
        }
    }

    #[test]
    fn people_are_shown_unicode() {
        assert_eq!(shown("eva@xn--bcher-kva.example"), "eva@bücher.example");
        assert_eq!(shown("xn--bcher-kva.example"), "bücher.example");
        assert_eq!(shown("ana@x.example"), "ana@x.example");
        // What does not decode stays as it is.
        assert_eq!(shown("a@xn--zz9999999.example"), "a@xn--zz9999999.example");
    }
}
