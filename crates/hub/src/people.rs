//! Which person an address belongs to: main addresses, further ones, and rules that make one address of another.
//!
//! Reads and writes `person` and `person_alias`, and the audit log. An address that a rule joins with another
//! becomes a further address of that person the first time it is seen, so that every other part looks in one place.
//! Start reading at [`ensure`] for the lists, [`plan`] for what people ask for.

use crate::app::App;
use crate::audit;
use crate::permission::Actor;
use crate::settings::People;
use crate::wake::Written;
use chrono::{DateTime, Utc};
use model::{PersonId, address};
use serde_json::json;
use std::collections::{BTreeSet, HashMap, HashSet};
use store::{LIST_LIMIT_MAX, PersonRow, PersonSeen, StoreError};

/// Who said so, for an address that a rule joined.
const BY_RULE: &str = "rule";

/// Rules that make one address of another, as the settings give them.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    domains: Vec<(String, String)>,
    ignores_tags: bool,
}

impl AddressRules {
    /// The rules that are set. What is no rule is left out; reading the settings has refused it.
    pub fn new(settings: &People) -> Self {
        let pair = |text: &String| {
            let (old, new) = text.split_once('=')?;
            let domain = address::canonical_domain;
            let (old, new) = (domain(old), domain(new));
            (!old.is_empty() && !new.is_empty() && old != new).then_some((old, new))
        };
        Self {
            domains: settings.domain_aliases.iter().filter_map(pair).collect(),
            ignores_tags: settings.ignore_plus_tags,
        }
    }

    /// Whether any address is made another.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && !self.ignores_tags
    }

    /// The address that people are joined by, for one in lower case: without its tag, in the new domain.
    pub fn main_of(&self, address: &str) -> String {
        let Some((name, domain)) = address.rsplit_once('@') else {
            return address.to_owned();
        };
        let name = match name.split_once('+') {
            Some((name, _)) if self.ignores_tags && !name.is_empty() => name,
            _ => name,
        };
        let domain = self
            .domains
            .iter()
            .find(|(old, _)| old == domain)
            .map_or(domain, |(_, new)| new);
        format!("{name}@{domain}")
    }
}

/// Makes sure that there is a person for every address; answers each address's person.
///
/// # Errors
///
/// When the store refuses.
pub async fn ensure(
    app: &App,
    seen: Vec<PersonSeen>,
    now: DateTime<Utc>,
) -> Result<HashMap<String, PersonId>, StoreError> {
    let rules = AddressRules::new(&app.settings.people);
    if rules.is_empty() {
        return app.store.person_ensure(&seen, now).await;
    }
    let (mut as_given, mut joined) = (Vec::new(), Vec::new());
    for person in seen {
        match rules.main_of(&person.email) {
            main if main == person.email => as_given.push(person),
            main => joined.push((person, main)),
        }
    }
    let mut found = app.store.person_ensure(&as_given, now).await?;
    if joined.is_empty() {
        return Ok(found);
    }
    let mains: Vec<PersonSeen> = joined
        .iter()
        .map(|(person, main)| PersonSeen {
            email: main.clone(),
            ..person.clone()
        })
        .collect();
    let mains = app.store.person_ensure(&mains, now).await?;
    let given: Vec<String> = joined.iter().map(|(person, _)| person.email.clone()).collect();
    let known = app.store.person_find(&given).await?;
    for (person, main) in joined {
        let Some(into) = mains.get(&main) else { continue };
        let owner = join(app, &person.email, known.get(&person.email), into, now).await?;
        found.insert(person.email, owner);
    }
    Ok(found)
}

/// Makes an address one of `into`'s, unless someone gave it to another person by hand. Answers whose it is.
async fn join(
    app: &App,
    address: &str,
    owner: Option<&PersonId>,
    into: &PersonId,
    now: DateTime<Utc>,
) -> Result<PersonId, StoreError> {
    if let Some(owner) = owner {
        let row = app.store.person_get(owner).await?;
        match row {
            _ if owner == into => return Ok(into.clone()),
            Some(row) if row.email == address => {
                let detail = json!({ "from": owner, "into": into, "by": BY_RULE });
                audit::record(
                    app,
                    &Actor::System,
                    model::AuditAction::PersonMerge,
                    into.as_str(),
                    model::AuditOutcome::Changed,
                    detail,
                )
                .await?;
                app.store.person_merge(owner, into, now).await?;
            }
            _ => return Ok(owner.clone()),
        }
    }
    app.store.person_alias_set(address, into, BY_RULE, now).await?;
    Ok(into.clone())
}

/// The people behind these addresses, which must be in lower case; addresses of nobody are left out.
///
/// # Errors
///
/// When the store refuses.
pub async fn find(app: &App, addresses: &[String]) -> Result<HashMap<String, PersonId>, StoreError> {
    let (mut found, joined) = look_up(app, addresses).await?;
    for (address, person) in joined {
        let now = app.clock.now();
        app.store
            .person_alias_set(&address, &person, BY_RULE, now)
            .await?;
        found.insert(address, person);
    }
    Ok(found)
}

/// The same without writing anything.
///
/// # Errors
///
/// When the store refuses.
pub async fn whose(app: &App, addresses: &[String]) -> Result<HashMap<String, PersonId>, StoreError> {
    let (mut found, joined) = look_up(app, addresses).await?;
    found.extend(joined);
    Ok(found)
}

/// The people of addresses, and of those that a rule joins with another one.
async fn look_up(
    app: &App,
    addresses: &[String],
) -> Result<(HashMap<String, PersonId>, Vec<(String, PersonId)>), StoreError> {
    let found = app.store.person_find(addresses).await?;
    let rules = AddressRules::new(&app.settings.people);
    if rules.is_empty() {
        return Ok((found, Vec::new()));
    }
    let joined: Vec<(&String, String)> = addresses
        .iter()
        .filter(|address| !found.contains_key(*address))
        .map(|address| (address, rules.main_of(address)))
        .filter(|(address, main)| *address != main)
        .collect();
    let mains: Vec<String> = joined.iter().map(|(_, main)| main.clone()).collect();
    let mains = app.store.person_find(&mains).await?;
    let joined = joined
        .into_iter()
        .filter_map(|(address, main)| Some((address.clone(), mains.get(&main)?.clone())));
    Ok((found, joined.collect()))
}

/// Every identifier that records of this person carry, in lower case.
///
/// # Errors
///
/// When the store refuses.
pub async fn identifiers(app: &App, person: &PersonId) -> Result<BTreeSet<String>, StoreError> {
    let mut all = BTreeSet::new();
    if let Some(row) = app.store.person_get(person).await? {
        all.insert(address::compared(&row.email));
    }
    all.extend(app.store.person_alias_by_person(person).await?);
    Ok(all.into_iter().map(|one| one.to_lowercase()).collect())
}

/// When records of each of these people were last seen.
///
/// # Errors
///
/// When the store refuses.
pub async fn last_seen(
    app: &App,
    people: &[PersonId],
) -> Result<HashMap<PersonId, DateTime<Utc>>, StoreError> {
    let mut owners: HashMap<String, &PersonId> = HashMap::new();
    for person in people {
        for identifier in identifiers(app, person).await? {
            owners.insert(identifier, person);
        }
    }
    let names: Vec<String> = owners.keys().cloned().collect();
    let mut last: HashMap<PersonId, DateTime<Utc>> = HashMap::new();
    for seen in app.store.identifier_seen(&names).await? {
        if let Some(person) = owners.get(&seen.identifier) {
            let at = last.entry((*person).clone()).or_insert(seen.last_at);
            *at = seen.last_at.max(*at);
        }
    }
    Ok(last)
}

/// The person with this address or id.
///
/// # Errors
///
/// When the store refuses.
pub async fn one(app: &App, wanted: &str) -> Result<Option<PersonRow>, StoreError> {
    let address = address::compared(wanted);
    if let Some(row) = app.store.person_by_email(&address).await? {
        return Ok(Some(row));
    }
    let rules = AddressRules::new(&app.settings.people);
    if !rules.is_empty()
        && address.contains('@')
        && let Some(row) = app.store.person_by_email(&rules.main_of(&address)).await?
    {
        return Ok(Some(row));
    }
    app.store.person_get(&PersonId(wanted.trim().to_owned())).await
}

/// That an address shall be a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRequest {
    /// The line that says so, from 1, or 0.
    pub line: u64,
    /// The person: an address of theirs, or their id.
    pub person: String,
    /// The further address.
    pub alias: String,
}

/// What one request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The person has the address already.
    Already,
    /// The person gets the address, which nobody has.
    Add {
        /// Who.
        person: PersonId,
        /// Which.
        alias: String,
    },
    /// The address is another person's main one: the two become one.
    Merge {
        /// Who stays.
        person: PersonId,
        /// Which address.
        alias: String,
        /// Who goes.
        from: PersonId,
    },
}

/// Why a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasProblem {
    /// Nobody has the address or id.
    #[error("no person with address or ID \"{0}\"")]
    NoPerson(String),
    /// It is no address.
    #[error("\"{0}\" is not an email address")]
    NoAddress(String),
    /// It is the person's main address.
    #[error("{0} is already their main address")]
    Main(String),
    /// It is a further address of someone else.
    #[error("{address} is already an alias of {owner}: remove it there first")]
    Taken {
        /// The address.
        address: String,
        /// Whose.
        owner: String,
    },
    /// It is the main address of someone else.
    #[error(
        "{address} belongs to another person; merging combines all data of both people and cannot be undone"
    )]
    Person {
        /// The address.
        address: String,
    },
    /// Two requests contradict each other.
    #[error(
        "{0} is listed twice for different people, or for a person who is merged into another one \
         in the same import"
    )]
    Twice(String),
}

/// What the requests come to, in their order, or what stands against them, by line. Changes nothing.
///
/// # Errors
///
/// When the store refuses.
pub async fn plan(
    app: &App,
    requests: &[AliasRequest],
    may_merge: bool,
) -> Result<Result<Vec<Step>, Vec<(u64, AliasProblem)>>, StoreError> {
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    let mut given: HashMap<String, PersonId> = HashMap::new();
    let (mut staying, mut going) = (HashSet::new(), HashSet::new());
    for request in requests {
        match step(app, request, may_merge).await? {
            Err(problem) => problems.push((request.line, problem)),
            Ok(step) => {
                if let Step::Add { person, alias } | Step::Merge { person, alias, .. } = &step {
                    staying.insert((person.clone(), request.line));
                    let before = given.insert(alias.clone(), person.clone());
                    if before.as_ref().is_some_and(|before| before != person) {
                        problems.push((request.line, AliasProblem::Twice(alias.clone())));
                    }
                }
                if let Step::Merge { from, .. } = &step {
                    going.insert(from.clone());
                }
                steps.push(step);
            }
        }
    }
    for (person, line) in staying {
        if going.contains(&person) {
            problems.push((line, AliasProblem::Twice(person.0)));
        }
    }
    problems.sort_by_key(|(line, _)| *line);
    Ok(if problems.is_empty() {
        Ok(steps)
    } else {
        Err(problems)
    })
}

async fn step(
    app: &App,
    request: &AliasRequest,
    may_merge: bool,
) -> Result<Result<Step, AliasProblem>, StoreError> {
    let Some(alias) = address::canonical(&request.alias) else {
        return Ok(Err(AliasProblem::NoAddress(request.alias.clone())));
    };
    let Some(person) = one(app, &request.person).await? else {
        return Ok(Err(AliasProblem::NoPerson(request.person.clone())));
    };
    if person.email == alias {
        return Ok(Err(AliasProblem::Main(alias)));
    }
    Ok(match app.store.person_by_email(&alias).await? {
        None => Ok(Step::Add {
            person: person.id,
            alias,
        }),
        Some(owner) if owner.id == person.id => Ok(Step::Already),
        Some(owner) if owner.email != alias => Err(AliasProblem::Taken {
            address: alias,
            owner: owner.email,
        }),
        Some(_) if !may_merge => Err(AliasProblem::Person { address: alias }),
        Some(owner) => Ok(Step::Merge {
            person: person.id,
            alias,
            from: owner.id,
        }),
    })
}

/// Does what was planned. Repeating it changes nothing.
///
/// # Errors
///
/// When the store refuses; what was done before stays.
pub async fn apply(app: &App, steps: &[Step], source: &str, actor: &Actor) -> Result<(), StoreError> {
    for step in steps {
        let now = app.clock.now();
        match step {
            Step::Already => {}
            Step::Add { person, alias } => {
                let detail = json!({ "address": alias, "source": source });
                audit::record(
                    app,
                    actor,
                    model::AuditAction::PersonAliasAdd,
                    person.as_str(),
                    model::AuditOutcome::Changed,
                    detail,
                )
                .await?;
                app.store.person_alias_set(alias, person, source, now).await?;
            }
            Step::Merge { person, alias, from } => {
                let detail = json!({ "address": alias, "from": from, "source": source });
                audit::record(
                    app,
                    actor,
                    model::AuditAction::PersonMerge,
                    person.as_str(),
                    model::AuditOutcome::Changed,
                    detail,
                )
                .await?;
                app.store.person_merge(from, person, now).await?;
                app.store.person_alias_set(alias, person, source, now).await?;
            }
        }
    }
    app.wake.call(Written::People);
    Ok(())
}

/// Joins people who were kept under a spelling of their address that is not the one that is compared, with those
/// of the compared one. Once for each store: what is kept since then is in that form. Answers how many were joined.
///
/// # Errors
///
/// When the store refuses; people who were joined before stay so.
pub async fn join_spellings(app: &App) -> Result<usize, StoreError> {
    const DONE: &str = "people-in-one-spelling";
    let now = app.clock.now();
    if app.store.time_mark(DONE, DateTime::UNIX_EPOCH).await? > DateTime::UNIX_EPOCH {
        return Ok(0);
    }
    let (mut joined, mut after) = (0, String::new());
    loop {
        let page = app.store.person_brief(&after, LIST_LIMIT_MAX).await?;
        let Some((_, last)) = page.last() else { break };
        after.clone_from(last);
        for (from, email) in page {
            let Some(main) = address::canonical(&email).filter(|main| *main != email) else {
                continue;
            };
            let seen = PersonSeen {
                new_id: PersonId(app.ids.new_id(now)),
                email: main.clone(),
                name: app.store.person_get(&from).await?.and_then(|person| person.name),
            };
            let Some(into) = app.store.person_ensure(&[seen], now).await?.remove(&main) else {
                continue;
            };
            let detail = json!({ "address": email, "from": from, "source": "spelling" });
            audit::record(
                app,
                &Actor::System,
                model::AuditAction::PersonMerge,
                into.as_str(),
                model::AuditOutcome::Changed,
                detail,
            )
            .await?;
            app.store.person_merge(&from, &into, now).await?;
            joined += 1;
        }
    }
    app.store.time_mark(DONE, now).await?;
    Ok(joined)
}

/// Takes a further address away; `false` when nobody had it as one.
///
/// # Errors
///
/// When the store refuses.
pub async fn alias_remove(app: &App, address: &str, actor: &Actor) -> Result<bool, StoreError> {
    let address = address::compared(address);
    let Some(owner) = app.store.person_by_email(&address).await? else {
        return Ok(false);
    };
    if owner.email == address {
        return Ok(false);
    }
    let detail = json!({ "address": address });
    audit::record(
        app,
        actor,
        model::AuditAction::PersonAliasRemove,
        owner.id.as_str(),
        model::AuditOutcome::Changed,
        detail,
    )
    .await?;
    app.store.person_alias_remove(&address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_make_one_address_of_another() {
        let rules = AddressRules::new(&People {
            domain_aliases: vec!["Old.example = new.example".into(), "nonsense".into()],
            ignore_plus_tags: true,
        });
        for (address, main) in [
            ("ana@old.example", "ana@new.example"),
            ("ana+news@old.example", "ana@new.example"),
            ("ana+news@x.example", "ana@x.example"),
            ("+@x.example", "+@x.example"),
            ("ana@sub.old.example", "ana@sub.old.example"),
            ("robot", "robot"),
        ] {
            assert_eq!(rules.main_of(address), main);
        }
        assert!(AddressRules::new(&People::default()).is_empty());
    }
}
