//! The sites in the simulated world, with Cloudflare's categories for each.
//!
//! Intelligence responses and the story's events both use this catalogue, so that a host has the same categories in
//! both.

/// A category: its number, its name, and the number of its parent group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Category {
    pub(crate) id: i64,
    pub(crate) name: &'static str,
    pub(crate) above: i64,
}

/// The group "Security threats".
pub(crate) const THREATS: i64 = 21;

const fn category(id: i64, name: &'static str, above: i64) -> Category {
    Category { id, name, above }
}

pub(crate) const PHISHING: Category = category(131, "Phishing", THREATS);
pub(crate) const MALWARE: Category = category(117, "Malware", THREATS);
pub(crate) const COMMAND_AND_CONTROL: Category = category(80, "Command and Control & Botnet", THREATS);
pub(crate) const CRYPTOMINING: Category = category(83, "Cryptomining", THREATS);
pub(crate) const ANONYMIZER: Category = category(68, "Anonymizer", THREATS);
pub(crate) const SPYWARE: Category = category(153, "Spyware", THREATS);
pub(crate) const AI: Category = category(184, "Artificial Intelligence", 26);
pub(crate) const WEBMAIL: Category = category(168, "Webmail", 6);
pub(crate) const FILE_SHARING: Category = category(95, "File Sharing", 26);
pub(crate) const BUSINESS: Category = category(75, "Business", 3);
pub(crate) const NEWS: Category = category(122, "News & Media", 32);
pub(crate) const TECHNOLOGY: Category = category(155, "Technology", 26);
pub(crate) const SEARCH: Category = category(145, "Search Engines", 26);

/// One site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) host: &'static str,
    pub(crate) category: Category,
    pub(crate) ip: &'static str,
    pub(crate) country: &'static str,
    /// Number and name of the application that Gateway assigns to the site.
    pub(crate) application: Option<(i64, &'static str)>,
}

const fn site(host: &'static str, category: Category, ip: &'static str, country: &'static str) -> Site {
    Site {
        host,
        category,
        ip,
        country,
        application: None,
    }
}

const fn application(id: i64, name: &'static str, site: Site) -> Site {
    Site {
        application: Some((id, name)),
        ..site
    }
}

pub(crate) const PHISHING_SITE: Site = site("tidewater-sso-login.example", PHISHING, "203.0.113.31", "RU");
pub(crate) const PHISHING_PARCEL: Site = site("parcel-redelivery.example", PHISHING, "203.0.113.32", "RU");
pub(crate) const MAILED_LINK: Site = site("invoice-review.example", PHISHING, "203.0.113.40", "MD");
pub(crate) const MALWARE_SITE: Site = site("free-pdf-tools.example", MALWARE, "203.0.113.51", "NL");
pub(crate) const CONTROL_SITE: Site = site(
    "cdn-telemetry-sync.example",
    COMMAND_AND_CONTROL,
    "203.0.113.61",
    "MD",
);
pub(crate) const TOR_SITE: Site = site("exit-relay.example", ANONYMIZER, "203.0.113.62", "CH");
pub(crate) const AI_SITE: Site = application(
    1199,
    "PromptHarbour",
    site("chat.promptharbour.example", AI, "203.0.113.71", "US"),
);
pub(crate) const WEBMAIL_SITE: Site = application(
    806,
    "PostOffice Mail",
    site("mail.postoffice.example", WEBMAIL, "203.0.113.72", "US"),
);

/// Sites that people use all day.
pub(crate) const ORDINARY: &[Site] = &[
    site("news.daily.example", NEWS, "203.0.113.101", "GB"),
    site("docs.toolkit.example", TECHNOLOGY, "203.0.113.102", "US"),
    site("search.lookup.example", SEARCH, "203.0.113.103", "US"),
    application(
        536,
        "Ledgerly",
        site("app.ledgerly.example", BUSINESS, "203.0.113.104", "IE"),
    ),
    application(
        612,
        "Boardwalk",
        site("boards.boardwalk.example", BUSINESS, "203.0.113.105", "DE"),
    ),
    application(
        720,
        "Driftbox",
        site("files.driftbox.example", FILE_SHARING, "203.0.113.106", "US"),
    ),
    WEBMAIL_SITE,
];

const SPECIAL: &[Site] = &[
    PHISHING_SITE,
    PHISHING_PARCEL,
    MAILED_LINK,
    MALWARE_SITE,
    CONTROL_SITE,
    TOR_SITE,
    AI_SITE,
    site("pool.deepvein.example", CRYPTOMINING, "203.0.113.63", "CN"),
    site("toolbar-helper.example", SPYWARE, "203.0.113.64", "US"),
];

/// The site of a host name, or of a parent domain.
pub(crate) fn site_of(host: &str) -> Option<&'static Site> {
    let host = host.trim_end_matches('.').to_lowercase();
    SPECIAL
        .iter()
        .chain(ORDINARY)
        .find(|site| host == site.host || host.ends_with(&format!(".{}", site.host)))
}

/// The site at an address.
pub(crate) fn site_at(ip: &str) -> Option<&'static Site> {
    SPECIAL.iter().chain(ORDINARY).find(|site| site.ip == ip)
}
