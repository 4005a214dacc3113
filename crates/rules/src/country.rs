//! The fields that contain country codes, and the codes that are not countries.
//!
//! Source: Cloudflare's documentation of `CF-IPCountry`: `XX` for an unknown country, `T1` for Tor.

/// What Cloudflare writes where it knows no country, and for Tor, which has none.
const NO_COUNTRIES: [&str; 2] = ["XX", "T1"];

/// Whether a field holds country codes, by its name: `Country`, `SrcIPCountryCode`, `ResolvedIPCountryCodes`.
pub(crate) fn is_field(name: &str) -> bool {
    name.to_ascii_lowercase().contains("country")
}

/// Whether a country code stands for no country: not known, or Tor.
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
