//! Letter case in all that compares, and countries that are none: rules over files, as `flareward rules run` has them.

use crate::kit::Kept;
use rules::book::RuleBook;
use rules::file_run::{self, Options};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// Name and group of each firing of a rule over several events.
fn fired(rules: &str, records: &[Value]) -> Vec<(String, Value)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let book = RuleBook::of_folder(folder.path());
    assert_eq!(book.problems, Vec::<String>::new());
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let file: PathBuf = folder.path().join("log.ndjson");
    std::fs::write(&file, lines).unwrap();
    let kept = Kept::default();
    let out: Mutex<Box<dyn Write + Send>> = Mutex::new(Box::new(kept.clone()));
    let options = Options {
        dataset: None,
        matches: Some(&out),
        threads: 1,
        now: crate::kit::start() + chrono::TimeDelta::days(30),
        progress: &|_| {},
    };
    file_run::run(&book, &[file], options).unwrap();
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| !line["correlation"].is_null())
        .map(|line| {
            (
                line["rule"].as_str().unwrap().to_owned(),
                line["correlation"]["group"].clone(),
            )
        })
        .collect()
}

fn lookups(names: impl IntoIterator<Item = String>) -> Vec<Value> {
    names
        .into_iter()
        .enumerate()
        .map(|(second, name)| {
            json!({ "Datetime": format!("2026-11-20T09:00:{second:02}Z"), "QueryID": format!("q{second}"), "QueryName": name,
                "QueryTypeName": "A", "Email": "ana@corp.example", "DeviceID": "d" })
        })
        .collect()
}

/// `name` with other letters in capitals for each number.
fn spelled(name: &str, number: usize) -> String {
    name.chars()
        .enumerate()
        .map(|(place, c)| {
            if number >> (place % 5) & 1 == 1 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect()
}

fn over_lookups(correlation: &str) -> String {
    format!(
        "title: Lookup\nname: lookup\nlogsource: {{service: gateway_dns}}\n\
         detection: {{a: {{QueryName|endswith: .example}}, condition: a}}\n---\ntitle: Several\nname: several\n\
         correlation: {{rules: [lookup], timespan: 10m, {correlation}}}\n"
    )
}

#[test]
fn one_name_in_many_spellings_is_one_value_and_one_group() {
    let spellings = || lookups((0..12).map(|number| spelled("stra\u{df}e.example", number)));
    let distinct = "type: value_count, group-by: [Email], condition: {gte: 10, field: QueryName}";
    assert_eq!(fired(&over_lookups(distinct), &spellings()), []);
    let often = "type: event_count, group-by: [QueryName], condition: {gte: 12}";
    let first = spellings()[0]["QueryName"].clone();
    assert_eq!(
        fired(&over_lookups(often), &spellings()),
        [("several".to_owned(), json!({ "QueryName": first }))]
    );
    // Different names are different values still.
    let names = lookups((0..12).map(|number| format!("H{number}.example")));
    assert_eq!(fired(&over_lookups(distinct), &names).len(), 1);
}

#[test]
fn a_group_is_shown_as_it_was_first_written() {
    let mut records = lookups(["B.Example", "b.example", "b.EXAMPLE"].map(str::to_owned));
    records.reverse();
    let often = "type: event_count, group-by: [QueryName], condition: {gte: 3}";
    assert_eq!(
        fired(&over_lookups(often), &records),
        [("several".to_owned(), json!({ "QueryName": "B.Example" }))]
    );
}

#[test]
fn cased_keeps_letter_case() {
    let spellings = lookups((0..12).map(|number| spelled("letters.example", number)));
    let distinct = "type: value_count, group-by: [Email], condition: {gte: 10, field: 'QueryName|cased'}";
    assert_eq!(fired(&over_lookups(distinct), &spellings).len(), 1);
    let often = "type: event_count, group-by: ['QueryName|cased'], condition: {gte: 2}";
    assert_eq!(fired(&over_lookups(often), &spellings), []);
}

fn sign_ins(countries: &[(&str, &str)]) -> Vec<Value> {
    countries
        .iter()
        .enumerate()
        .map(|(number, (at, country))| {
            json!({ "CreatedAt": at, "Email": "ana@corp.example", "RayID": format!("r{number}"), "Action": "login",
                "Allowed": true, "AppDomain": "wiki.corp.example", "AppUUID": "u", "Country": country })
        })
        .collect()
}

const SIGN_IN: &str = "title: Place\nname: place\nlogsource: {service: access_requests}\n\
                       detection: {a: {Action: login}, condition: a}\nflareward:\n";

#[test]
fn a_country_in_other_letters_is_no_new_country() {
    let rules = format!("{SIGN_IN}  first_seen: {{fields: [Country], days: 90}}\n");
    let known = ("2026-10-01T08:00:00Z", "DE");
    let count = |later| fired(&rules, &sign_ins(&[known, ("2026-11-01T08:00:00Z", later)])).len();
    assert_eq!(count("de"), 0);
    assert_eq!(count("fr"), 1);
    assert_eq!(count("XX"), 0);
    assert_eq!(count("t1"), 0);
}

#[test]
fn no_country_is_no_journey_and_hides_none() {
    let rules = format!("{SIGN_IN}  travel: {{speed_kmh: 900, distance_km: 500}}\n");
    let journey = |places: &[(&str, &str)]| fired(&rules, &sign_ins(places)).len();
    let (nine, later, ten) = (
        "2026-11-20T09:00:00Z",
        "2026-11-20T09:20:00Z",
        "2026-11-20T10:00:00Z",
    );
    assert_eq!(journey(&[(nine, "fr"), (later, "XX"), (ten, "fr")]), 0);
    assert_eq!(journey(&[(nine, "fr"), (later, "T1"), (ten, "sg")]), 1);
}

#[test]
fn no_country_is_no_value() {
    let rules = "title: In\nname: in\nlogsource: {service: access_requests}\ndetection: {a: {Action: login}, condition: a}\n\
                 ---\ntitle: Places\nname: places\ncorrelation: {type: value_count, rules: [in], group-by: [Email], \
                 timespan: 1h, condition: {field: Country, gte: 3}}\n";
    let (nine, later, ten) = (
        "2026-11-20T09:00:00Z",
        "2026-11-20T09:20:00Z",
        "2026-11-20T09:40:00Z",
    );
    assert_eq!(
        fired(rules, &sign_ins(&[(nine, "fr"), (later, "XX"), (ten, "T1")])),
        []
    );
    assert_eq!(
        fired(rules, &sign_ins(&[(nine, "fr"), (later, "de"), (ten, "PT")])).len(),
        1
    );
}
