//! The people of Tidewater, the simulated company: a small cast with roles in the story, and any number of others.
//!
//! Dashboard members and Zero Trust users are two lists that overlap in part, as in real accounts: some people are only
//! in one of them, and one person's address is capitalised in one of them.

use crate::ids::Ids;
use crate::world::provider::Provider;

/// The company's own domain.
pub(crate) const DOMAIN: &str = "tidewater.example";
/// The company's Zero Trust team domain.
pub(crate) const TEAM_DOMAIN: &str = "tidewater.cloudflareaccess.com";
/// The identity that Gateway logs when nobody is signed in.
pub(crate) const NON_IDENTITY: &str = "non_identity@tidewater.cloudflareaccess.com";
/// The people that the group "Contractors" includes through a list: one has signed in before, one was only invited to
/// the dashboard.
pub(crate) const CONTRACTORS: [&str; 2] =
    ["noor.aziz@tidewater.example", "robin.castle@harbourworks.example"];
/// A person who is in the logs but in no list of people.
pub(crate) const STRANGER: &str = "k.vance@driftwood.example";

/// A person's role in the story of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Owns the sandbox's credentials.
    Owner,
    Traveller,
    AiUploader,
    PhishingMeeter,
    ClientSwitcher,
    LinkClicker,
    FileDownloader,
    LogpushRemover,
    TokenMaker,
    Infected,
    LockedOut,
    Ordinary,
}

/// A person's entry in the list of dashboard members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    None,
    /// Has the role with this name.
    Role(&'static str),
    /// Has permission policies instead of roles.
    Policies,
    /// Was invited but never signed up.
    Invited(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) email: String,
    /// The address in the list of members, if it is different there.
    pub(crate) member_email: String,
    pub(crate) part: Part,
    pub(crate) membership: Membership,
    pub(crate) is_access_user: bool,
    pub(crate) second_factor: bool,
    pub(crate) provider: Provider,
    /// In the group "Engineering" of the identity provider.
    pub(crate) engineer: bool,
    /// False for a Zero Trust user who was created but never signed in.
    pub(crate) signed_in: bool,
    /// Upper-case country code.
    pub(crate) country: &'static str,
    pub(crate) ip: String,
    pub(crate) device: Device,
}

impl Person {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) registration_id: String,
    pub(crate) name: String,
    pub(crate) serial_number: String,
}

type CastRow = (
    &'static str,
    &'static str,
    Part,
    Membership,
    bool,
    bool,
    &'static str,
);

/// First name, last name, part, membership, Zero Trust user, second factor, country.
const CAST: &[CastRow] = &[
    (
        "Alex",
        "Reid",
        Part::Owner,
        Membership::Role("Super Administrator"),
        true,
        true,
        "GB",
    ),
    (
        "Ines",
        "Moreau",
        Part::Traveller,
        Membership::Role("Audit Logs Viewer"),
        true,
        true,
        "FR",
    ),
    (
        "Tom",
        "Okafor",
        Part::AiUploader,
        Membership::None,
        true,
        true,
        "GB",
    ),
    (
        "Lucy",
        "Brandt",
        Part::PhishingMeeter,
        Membership::None,
        true,
        true,
        "DE",
    ),
    (
        "Rafael",
        "Duarte",
        Part::ClientSwitcher,
        Membership::None,
        true,
        true,
        "PT",
    ),
    (
        "Mei",
        "Tanaka",
        Part::LinkClicker,
        Membership::Role("Billing"),
        true,
        false,
        "GB",
    ),
    (
        "Jonas",
        "Weber",
        Part::FileDownloader,
        Membership::None,
        true,
        true,
        "DE",
    ),
    (
        "Priya",
        "Nair",
        Part::LogpushRemover,
        Membership::Role("Super Administrator"),
        true,
        true,
        "GB",
    ),
    (
        "Victor",
        "Lindqvist",
        Part::TokenMaker,
        Membership::Role("Super Administrator"),
        true,
        true,
        "SE",
    ),
    (
        "Sam",
        "Harlow",
        Part::Infected,
        Membership::None,
        true,
        true,
        "GB",
    ),
    (
        "Elena",
        "Rossi",
        Part::LockedOut,
        Membership::None,
        true,
        true,
        "IT",
    ),
    (
        "Hana",
        "Kim",
        Part::Ordinary,
        Membership::Role("Cloudflare Zero Trust"),
        true,
        true,
        "GB",
    ),
    ("Omar", "Said", Part::Ordinary, Membership::None, true, true, "GB"),
    (
        "Greta",
        "Olsen",
        Part::Ordinary,
        Membership::Policies,
        true,
        true,
        "NO",
    ),
    (
        "Ben",
        "Carter",
        Part::Ordinary,
        Membership::Role("Administrator Read Only"),
        true,
        false,
        "GB",
    ),
    ("Noor", "Aziz", Part::Ordinary, Membership::None, true, true, "GB"),
    (
        "Dora",
        "Finch",
        Part::Ordinary,
        Membership::Role("Billing"),
        false,
        false,
        "GB",
    ),
    (
        "Kato",
        "Mensah",
        Part::Ordinary,
        Membership::Invited("Administrator Read Only"),
        false,
        false,
        "GB",
    ),
    (
        "Robin",
        "Castle",
        Part::Ordinary,
        Membership::Invited("Log Share Reader"),
        false,
        false,
        "US",
    ),
];

const FIRST: &[&str] = &[
    "Ada", "Amir", "Anna", "Bo", "Carla", "Chen", "Dana", "David", "Eva", "Farid", "Fiona", "Gita", "Hugo",
    "Ida", "Ivan", "Jana", "Kai", "Lena", "Luis", "Maya", "Nils", "Olga", "Paul", "Rosa", "Sven", "Tara",
    "Uma", "Vera", "Will", "Yuki", "Zoe", "Ibrahim",
];
const LAST: &[&str] = &[
    "Abbott", "Bauer", "Cohen", "Diaz", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jensen", "Kaya",
    "Lopez", "Meyer", "Novak", "Ortiz", "Petrov", "Quinn", "Rao", "Silva", "Turner", "Usman", "Vogel",
    "Wong", "Young", "Zhang", "Larsen", "Costa", "Moore",
];
const COUNTRIES: &[&str] = &["GB", "GB", "GB", "DE", "FR", "SE", "NL", "US"];

/// Most people sign in with Okta.
const CROWD_PROVIDERS: &[Provider] = &[
    Provider::Okta,
    Provider::Okta,
    Provider::Okta,
    Provider::Okta,
    Provider::Okta,
    Provider::Okta,
    Provider::Azure,
    Provider::Azure,
    Provider::Saml,
    Provider::OpenIdConnect,
    Provider::OneTimePin,
    Provider::GitHub,
    Provider::GoogleWorkspace,
];

/// The cast, in a fixed order.
pub(crate) fn cast(seed: u64) -> Vec<Person> {
    let mut ids = Ids::new(seed, "cast");
    CAST.iter()
        .enumerate()
        .map(
            |(at, (first, last, part, membership, is_access_user, second_factor, country))| {
                let mut person = person(&mut ids, at, first, last, country);
                person.part = *part;
                person.membership = *membership;
                person.is_access_user = *is_access_user;
                person.second_factor = *second_factor;
                person.engineer = matches!(part, Part::TokenMaker | Part::FileDownloader | Part::Infected);
                person.provider = match *last {
                    "Said" => Provider::Azure,
                    "Olsen" => Provider::Saml,
                    "Aziz" => Provider::OpenIdConnect,
                    _ => Provider::Okta,
                };
                match *part {
                    // The same address with capitals: joining the two lists must ignore case.
                    Part::Traveller => person.member_email = format!("Ines.Moreau@{DOMAIN}"),
                    _ if *last == "Castle" => person.email = "robin.castle@harbourworks.example".to_owned(),
                    _ => {}
                }
                if *part != Part::Traveller {
                    person.member_email.clone_from(&person.email);
                }
                person
            },
        )
        .collect()
}

/// People without a role in the story, numbered from `from`; the same number is always the same person.
pub(crate) fn crowd(seed: u64, from: usize, count: usize) -> Vec<Person> {
    (from..from + count)
        .map(|number| {
            let mut ids = Ids::new(seed, &format!("crowd {number}"));
            let first = *ids.pick(FIRST);
            let last = *ids.pick(LAST);
            let country = ids.pick(COUNTRIES);
            let mut person = person(&mut ids, number + CAST.len(), first, last, country);
            person.email = format!(
                "{}.{}{number}@{DOMAIN}",
                first.to_lowercase(),
                last.to_lowercase()
            );
            person.member_email.clone_from(&person.email);
            person.second_factor = !ids.once_in(6);
            person.provider = *ids.pick(CROWD_PROVIDERS);
            person.engineer = ids.once_in(4);
            person.signed_in = !ids.once_in(20);
            person
        })
        .collect()
}

fn person(ids: &mut Ids, number: usize, first: &str, last: &str, country: &'static str) -> Person {
    let email = format!("{}.{}@{DOMAIN}", first.to_lowercase(), last.to_lowercase());
    Person {
        first: first.to_owned(),
        last: last.to_owned(),
        member_email: email.clone(),
        email,
        part: Part::Ordinary,
        membership: Membership::None,
        is_access_user: true,
        second_factor: true,
        provider: Provider::Okta,
        engineer: false,
        signed_in: true,
        country,
        // 198.18.0.0/15 is reserved for tests, so no address here belongs to anyone.
        ip: format!("198.18.{}.{}", (number / 250) % 250, number % 250 + 1),
        device: Device {
            id: ids.uuid(),
            registration_id: ids.uuid(),
            name: format!("TW-{}-{}", last.to_uppercase(), 100 + number),
            serial_number: format!("C02{}", ids.ray()[..8].to_uppercase()),
        },
    }
}
