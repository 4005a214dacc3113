//! The fields that contain country codes, and the codes that are not countries.
//!
//! Source: Cloudflare's documentation of `CF-IPCountry`: `XX` for an unknown country, `T1` for Tor.

/// Cloudflare's codes for an unknown country and for Tor.
const NO_COUNTRIES: [&str; 2] = ["XX", "T1"];

/// Whether a field contains country codes, according to its name: `Country`, `SrcIPCountryCode`,
/// `ResolvedIPCountryCodes`.
pub(crate) fn is_field(name: &str) -> bool {
    name.to_ascii_lowercase().contains("country")
}

/// Whether a code is not a country: unknown, or Tor.
pub(crate) fn is_none(code: &str) -> bool {
    NO_COUNTRIES
        .iter()
        .any(|none| code.trim().eq_ignore_ascii_case(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_tor_are_no_countries() {
        for (code, expected) in [
            ("XX", true),
            ("xx", true),
            ("T1", true),
            ("t1", true),
            ("DE", false),
            ("", false),
        ] {
            assert_eq!(is_none(code), expected, "{code}");
        }
        assert!(is_field("SrcIPCountryCode") && is_field("Country") && !is_field("SrcIP"));
    }
}
