//! `rules run` and `rules check` over what people have in their folders: good, broken, hostile.
//!
//! What cannot be read is named with its file, line or rule and the reason, it is counted, and the rest goes on.

use crate::program::flareward;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RULE: &str = "title: Any name\nname: any\nid: any\nlogsource: {service: gateway_dns}\n\
                    detection: {a: {QueryName|endswith: .example}, condition: a}\n";

/// What the program said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    problems: String,
    took: Duration,
}

impl Said {
    fn counts(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A folder with files and rules.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.write("rules/any.yml", RULE);
        place
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    fn say(&self, arguments: &[&str]) -> Said {
        let begun = Instant::now();
        // There is no such database: these commands need none.
        let output = flareward(self.folder.path(), "postgres://nobody@127.0.0.1:1/none")
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            problems: String::from_utf8(output.stderr).unwrap(),
            took: begun.elapsed(),
        }
    }

    /// Runs the rules of `rules/` over files.
    fn run(&self, files: &[&str]) -> Said {
        let mut arguments = vec!["rules", "run", "--rules", "rules", "--output", "counts"];
        arguments.extend(files);
        self.say(&arguments)
    }
}

fn event(name: &str) -> String {
    let second = name.len() % 60;
    json!({"Datetime": format!("2026-01-05T10:00:{second:02}Z"), "QueryID": name, "QueryName": name, "Email": "ana@corp.example"})
        .to_string()
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|place| event(&format!("h{place}.example")) + "\n")
        .collect()
}

fn packed(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn damaged_and_cut_gzip_is_named_and_the_other_files_are_read() {
    let place = Place::new();
    let whole = packed(lines(3_000));
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0xff);
    place.write("damaged.gz", damaged);
    place.write("cut.gz", &whole[..whole.len() - 400]);
    place.write("good.ndjson", lines(7));
    for name in ["damaged.gz", "cut.gz"] {
        let said = place.run(&[name, "good.ndjson"]);
        assert_eq!(said.code, 1, "{said:?}");
        has(
            &said.problems,
            &[&format!("not fully read: {name}: damaged gzip: "), ", after "],
        );
        let events = said.counts()["events"].as_u64().unwrap();
        assert!((7..3_007).contains(&events), "{events}");
        // What damage made of names may be anything.
        let matches = said.counts()["matches"].as_u64().unwrap();
        assert!(matches <= events, "{said:?}");
        // The names of the second file are in the first one too, and count once.
        assert!(
            name == "damaged.gz" || matches == events - 7,
            "all that was read counts: {said:?}"
        );
    }
}

#[test]
fn gzip_of_several_members_is_read_to_its_end() {
    let place = Place::new();
    let mut parts = packed(lines(10));
    // A line that goes over the border of two members is one line.
    let last = event("last.example");
    let (first_half, second_half) = last.split_at(20);
    parts.extend(packed(first_half));
    parts.extend(packed(""));
    parts.extend(packed(second_half));
    place.write("parts.gz", parts);
    let said = place.run(&["parts.gz"]);
    assert_eq!(
        (said.code, said.counts()["matches"].as_u64()),
        (0, Some(11)),
        "{said:?}"
    );
}

#[test]
fn a_gigabyte_of_zeros_is_one_line_too_long() {
    let place = Place::new();
    let member = packed(vec![0; 16 << 20]);
    let mut bomb = packed(lines(2));
    for _ in 0..64 {
        bomb.extend_from_slice(&member);
    }
    bomb.extend(packed(format!("\n{}", lines(3))));
    place.write("bomb.gz", bomb);
    let said = place.run(&["bomb.gz"]);
    println!("a gigabyte of zeros took {:?}", said.took);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.counts()["events"], 5, "{said:?}");
    has(
        &said.problems,
        &[
            "rejected: bomb.gz:3: longer than 1048576 bytes",
            "1 lines rejected",
        ],
    );
}

#[test]
fn lines_that_are_no_records_are_named_and_the_others_are_looked_at() {
    let place = Place::new();
    let mut file = Vec::new();
    let mut line = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        file.push(b'\n');
    };
    line(event("first.example").as_bytes());
    line(format!("{{\"QueryName\":\"{}\"}}", "a".repeat(5 << 20)).as_bytes());
    line(b"{\"QueryName\":\"\xff\xfe.example\"}");
    line(format!("{{\"QueryName\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)).as_bytes());
    line(format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).as_bytes());
    line(b"not json");
    line(b"[1, 2]");
    line(b"{\"QueryName\":\"a.example\"} {\"QueryName\":\"b.example\"}");
    line(b"");
    line(b"{\"QueryName\":\"cut.exam");
    line(event("last.example").as_bytes());
    place.write("mixed.ndjson", file);
    let said = place.run(&["mixed.ndjson"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.counts(),
        json!({"events": 2, "matches": 2, "rules": {"any": 2}}),
        "{said:?}"
    );
    has(
        &said.problems,
        &[
            "rejected: mixed.ndjson:2: longer than 1048576 bytes",
            "rejected: mixed.ndjson:3: the field Datetime is missing",
            "rejected: mixed.ndjson:4: nested more than 127 levels deep",
            "rejected: mixed.ndjson:5: nested more than 127 levels deep",
            "rejected: mixed.ndjson:6: not JSON: ",
            "rejected: mixed.ndjson:7: not a JSON object",
            "rejected: mixed.ndjson:8: not JSON: ",
            "rejected: mixed.ndjson:10: not JSON: ",
            "2 events, 2 matches from 1 rules, 8 lines rejected",
        ],
    );
    assert!(
        !said.problems.contains("cut.exam"),
        "a line may be private: {}",
        said.problems
    );
}

#[test]
fn a_record_whose_time_cannot_be_is_rejected_as_the_server_does() {
    let place = Place::new();
    let times = [
        json!("9999-12-31T23:59:59Z"),
        json!(9_223_372_036_854_775_807_u64),
        json!(18_446_744_073_709_551_615_u64),
        json!(-1),
        json!("yesterday"),
        json!(1e300),
        json!("2200-01-01T00:00:00Z"),
    ];
    let record =
        |time: &Value| json!({"Datetime": time, "QueryID": "q", "QueryName": "a.example", "Email": "ana"});
    let text: String = times.iter().map(|time| record(time).to_string() + "\n").collect();
    place.write("times.ndjson", &text);
    let said = place.run(&["times.ndjson"]);
    // Nothing could be read.
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.counts()["matches"], 0, "{said:?}");
    has(
        &said.problems,
        &[
            "times.ndjson:5: Datetime is not a valid time",
            "is in the future",
            "no usable records",
        ],
    );
    place.write("one.ndjson", text + &event("good.example"));
    let said = place.run(&["one.ndjson"]);
    assert_eq!((said.code, &said.counts()["matches"]), (0, &json!(1)), "{said:?}");
}

#[test]
fn files_in_other_forms_are_read_or_named() {
    let place = Place::new();
    let (a, b) = (event("first.example"), event("other.example"));
    let wide: Vec<u8> = a.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (text, matches) in [
        (format!("[{a},{b}]").into_bytes(), 2),
        (format!("{{\"result\":[{a},\n{b}]}}").into_bytes(), 2),
        (format!("{{\"success\":true,\"result\":[{a}]}}").into_bytes(), 1),
        (
            format!("{{\"events\":[\n{{\"info\":{a}}},\n{{\"info\":{b}}}\n]}}").into_bytes(),
            2,
        ),
        (format!("{{\"info\":{a}}}\n{{\"info\":{b}}}").into_bytes(), 2),
        (format!("\u{feff}{a}\n{b}").into_bytes(), 2),
        ([packed(format!("{a}\n")), vec![0; 100]].concat(), 1),
        (
            a.replacen('{', "{\"DeviceName\":\"x \\ud83d\",\"Size\":1e999,", 1)
                .into_bytes(),
            1,
        ),
    ] {
        place.write("log", &text);
        let said = place.run(&["log"]);
        assert_eq!(
            (said.code, &said.counts()["matches"]),
            (0, &json!(matches)),
            "{said:?}"
        );
        let alone = place.say(&[
            "rules",
            "run",
            "--rules",
            "rules",
            "--output",
            "ndjson",
            "--dataset",
            "gateway_dns",
            "log",
        ]);
        assert_eq!(alone.out.lines().count(), matches, "{alone:?}");
        assert!(
            alone
                .out
                .lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{alone:?}"
        );
    }
    for (text, words) in [
        (
            b"Datetime,QueryID,QueryName\n2026-01-05T10:00:00Z,q,a.example\n".to_vec(),
            "unsupported format: CSV",
        ),
        (wide, "UTF-16"),
    ] {
        place.write("log", &text);
        let said = place.run(&["log"]);
        assert_eq!(said.code, 1, "{said:?}");
        has(&said.problems, &[words, "1 lines rejected", "no usable records"]);
    }
    place.write("log", [packed(a), b"garbage".to_vec()].concat());
    let said = place.run(&["log"]);
    assert_eq!((said.code, &said.counts()["matches"]), (1, &json!(1)), "{said:?}");
    has(&said.problems, &["data after the last gzip member is not gzip"]);
    place.write("log", json!({"Image": "x.exe", "ProcessId": 5}).to_string());
    has(&place.run(&["log"]).problems, &["no rule runs on these records"]);
    place.write(
        "log",
        json!({"Datetime": 1, "URL": "x", "HTTPMethod": "GET"}).to_string(),
    );
    has(
        &place.run(&["log", "--dataset", "gateway_http"]).problems,
        &["no rule runs on these records"],
    );
    place.write(
        "log",
        json!({"Datetime": 1_767_607_200, "QueryID": "q", "ResolverDecision": "x"}).to_string(),
    );
    has(
        &place.run(&["log"]).problems,
        &["no record has any field that the rules use: QueryName"],
    );
}

#[test]
fn a_record_of_another_product_matches_no_rule_of_cloudflare() {
    let place = Place::new();
    let record = json!({"UtcTime": "2026-01-05 10:00:00.000", "EventID": 22, "Image": "x.exe", "ProcessId": 5,
        "QueryName": "a.example"});
    place.write("log", record.to_string());
    assert_eq!(place.run(&["log"]).counts()["matches"], 0);
    let other = RULE
        .replace("service: gateway_dns", "product: windows, category: dns_query")
        .replace(": any", ": other");
    place.write("rules/other.yml", other);
    assert_eq!(place.run(&["log"]).counts()["rules"], json!({"other": 1}));
}

#[test]
fn check_says_how_many_documents_are_fine() {
    let place = Place::new();
    let bad = RULE
        .replace("QueryName|endswith", "QueryName|nothing")
        .replace(": any", ": bad");
    let warned = RULE.replace(": any", ": warned") + "status: Experimental\n";
    let file = format!("{RULE}---\n{bad}---\n{warned}");
    place.write("mixed.yml", file);
    let said = place.say(&["rules", "check", "mixed.yml", "-o", "json"]);
    assert_eq!(said.code, 1, "{said:?}");
    has(
        &said.problems,
        &[
            "mixed.yml: 2 of 3 documents are valid",
            "`status: Experimental` is read as `experimental`",
        ],
    );
    let rows: Value = serde_json::from_str(&said.out).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[1]["fine"], &rows[1]["documents"]), (&json!(2), &json!(3)));
}

#[test]
fn a_folder_or_file_without_a_rule_is_not_fine() {
    let place = Place::new();
    place.write("folder/README.md", "# No rules here\n");
    place.write("empty.yml", "# nothing yet\n");
    for path in ["folder", "empty.yml"] {
        let said = place.say(&["rules", "check", path, "-o", "json"]);
        assert_eq!(said.code, 1, "{said:?}");
        let rows: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(
            (&rows[0]["ok"], rows.as_array().unwrap().len()),
            (&json!(false), 1)
        );
        assert!(
            rows[0]["problem"].as_str().unwrap().contains("no rules found"),
            "{rows}"
        );
    }
}

#[test]
fn rules_that_cannot_be_honoured_are_named_with_the_reason() {
    let place = Place::new();
    place.write("log.ndjson", lines(4));
    let with = |detection: &str| {
        format!(
            "title: T\nname: t\nlogsource: {{service: gateway_dns}}\ndetection: {{a: {detection}, condition: a}}\n"
        )
    };
    let many = |count: usize| vec!["[a-z]{1,50}x"; count].join("|");
    for (name, text, parts) in [
        (
            "regex.yml",
            with(&format!("{{QueryName|re: '{}'}}", many(70_000))),
            &["regex.yml: ", "t", "too"][..],
        ),
        (
            "long.yml",
            format!("{RULE}# {}", "x".repeat(2 << 20)),
            &["long.yml: the document has more than 1048576 bytes; split it"],
        ),
        (
            "twice.yml",
            RULE.replace("name: any", "name: other"),
            &["twice.yml: ", "Any name", "id", "any"],
        ),
        (
            "look.yml",
            with("{QueryName|re: 'a(?=b)'}"),
            &["look.yml: ", "t", "look-around"],
        ),
        (
            "latin.yml",
            "title: caf\u{fffd}".to_owned(),
            &["latin.yml: the document is not UTF-8"],
        ),
        (
            "condition.yml",
            RULE.replace("condition: a", "condition: a and")
                .replace("any", "c"),
            &["condition.yml: ", "line "],
        ),
        (
            "modifier.yml",
            with("{QueryName|sounds_like: a}"),
            &["modifier.yml: ", "sounds_like"],
        ),
        (
            "list.yml",
            with("{QueryName|expand: '%nobody_has_this%'}"),
            &["list.yml: ", "nobody_has_this"],
        ),
    ] {
        // U+FFFD stands for a byte that is none of UTF-8's.
        let bytes: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
        let path = place.write(&format!("rules/{name}"), bytes.join(&0xe9));
        let said = place.run(&["log.ndjson"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{name}: {said:?}");
        has(&said.problems, parts);
        has(
            &said.problems,
            &["1 rule documents are invalid or unsupported; use --skip-invalid to skip them"],
        );
        let said = place.run(&["log.ndjson", "--skip-invalid"]);
        assert_eq!(
            (said.code, said.counts()["matches"].as_u64()),
            (0, Some(4)),
            "{name}: {said:?}"
        );
        has(&said.problems, &["skipped: "]);
        has(&said.problems, parts);
        assert!(said.took < Duration::from_secs(60), "{name}: {said:?}");
        let checked = place.say(&["rules", "check", "rules", "--output", "json"]);
        assert_eq!(checked.code, 1, "{name}: {checked:?}");
        has(&checked.out, parts);
        fs::remove_file(path).unwrap();
    }
    assert_eq!(place.say(&["rules", "check", "rules"]).code, 0);
}

#[test]
fn expressions_that_explode_elsewhere_take_linear_time() {
    let place = Place::new();
    let detection = "{QueryName|re: ['^(a|a)*b$', '(a*)*c', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$']}";
    place.write(
        "rules/slow.yml",
        format!("title: S\nname: slow\nlogsource: {{service: gateway_dns}}\ndetection: {{a: {detection}, condition: a}}\n"),
    );
    let name = "a".repeat(100_000);
    let text: String = ["", "b", "c"]
        .iter()
        .map(|end| event(&format!("{name}{end}")) + "\n")
        .collect();
    place.write("log.ndjson", text);
    let said = place.run(&["log.ndjson"]);
    assert_eq!(
        (said.code, &said.counts()["rules"]["slow"]),
        (0, &json!(2)),
        "{said:?}"
    );
    println!(
        "100,000 characters and four expressions, three times: {:?}",
        said.took
    );
    assert!(said.took < Duration::from_secs(60), "{:?}", said.took);
}

#[test]
fn ten_thousand_rules_are_read_in_seconds() {
    let place = Place::new();
    for file in 0..10 {
        let text: Vec<String> = (0..1_000)
            .map(|rule| {
                let own = file * 1_000 + rule;
                format!(
                    "title: R{own}\nname: r{own}\nlogsource: {{service: gateway_dns}}\n\
                     detection: {{a: {{QueryName|endswith: ['.n{own}.invalid', '.m{own}.invalid']}}, condition: a}}\n"
                )
            })
            .collect();
        place.write(&format!("rules/many-{file}.yml"), text.join("---\n"));
    }
    place.write("log.ndjson", lines(2) + &event("x.n7.invalid") + "\n");
    let said = place.run(&["log.ndjson"]);
    println!("10,001 rules over three records: {:?}", said.took);
    assert_eq!(said.counts()["rules"], json!({"any": 2, "r7": 1}), "{said:?}");
    assert!(said.took < Duration::from_secs(120), "{:?}", said.took);
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_a_result() {
    let place = Place::new();
    place.write("empty.ndjson", "");
    place.write("empty.gz", packed(""));
    place.write("blank.ndjson", "\n \n\r\n");
    place.write("log.ndjson", lines(2));
    fs::create_dir(place.folder.path().join("nothing")).unwrap();
    let said = place.run(&["empty.ndjson", "empty.gz", "blank.ndjson"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.counts(), json!({"events": 0, "matches": 0, "rules": {}}));
    let said = place.run(&["missing.ndjson", "log.ndjson", "nothing"]);
    assert_eq!(
        (said.code, said.counts()["matches"].as_u64()),
        (1, Some(2)),
        "{said:?}"
    );
    has(
        &said.problems,
        &["missing.ndjson: ", "No such file", "nothing: ", "directory"],
    );
    for (arguments, parts) in [
        (
            &["rules", "run", "--dataset", "gateway_dnss", "log.ndjson"][..],
            &["gateway_dnss", "available: ", "gateway_dns"][..],
        ),
        (
            &["rules", "run", "--rules", "none", "log.ndjson"],
            &["none is not a folder"],
        ),
        (
            &["rules", "run", "--rules", "nothing", "log.ndjson"],
            &["nothing contains no rules"],
        ),
        (
            &["rules", "check", "missing.yml"],
            &["missing.yml", "No such file"],
        ),
    ] {
        let said = place.say(arguments);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        has(&said.problems, parts);
    }
}

/// The public rules and the events that come with them, which are no part of the repository.
fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("FLAREWARD_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    if folder.join("sigma/sigmahq-rules.tar.gz").is_file() {
        return Some(folder.join("sigma"));
    }
    println!("skipped: no public Sigma corpus here, set FLAREWARD_CONFORMANCE to its folder");
    None
}

#[test]
fn all_public_rules_run_and_each_finds_its_own_event() {
    let Some(corpus) = corpus() else { return };
    let place = Place::new();
    let folder = place.folder.path().join("public");
    let mut archive = Vec::new();
    GzDecoder::new(fs::File::open(corpus.join("sigmahq-rules.tar.gz")).unwrap())
        .read_to_end(&mut archive)
        .unwrap();
    tar::Archive::new(archive.as_slice()).unpack(&folder).unwrap();
    let events = corpus.join("regression.ndjson");
    let events = events.to_str().unwrap();
    let said = place.say(&[
        "rules",
        "run",
        "--rules",
        "public",
        "--skip-invalid",
        "--output",
        "ndjson",
        events,
    ]);
    assert_eq!(said.code, 0, "{}", said.problems);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in said.out.lines() {
        let matched: Value = serde_json::from_str(line).unwrap();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        found
            .entry(word(&matched["event"]["_case"]))
            .or_default()
            .push(word(&matched["rule_id"]));
    }
    let mut cases = 0;
    for line in fs::read_to_string(events).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let case = event["_case"].as_str().unwrap();
        let rules = found.get(case).cloned().unwrap_or_default();
        assert!(
            rules.iter().any(|rule| rule == case),
            "{case} is not among {rules:?}"
        );
        cases += 1;
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for problem in said
        .problems
        .lines()
        .filter_map(|line| line.strip_prefix("skipped: "))
    {
        assert!(problem.contains(": "), "{problem}");
        *reasons.entry(kind_of(problem)).or_default() += 1;
    }
    println!("{cases} cases found their rule in {:?}; left out:", said.took);
    for (reason, count) in &reasons {
        println!("  {count} {reason}");
    }
    assert!(cases > 0 && !reasons.is_empty());
}

/// A problem without what is its own: its file, its rule, what it quotes.
fn kind_of(problem: &str) -> String {
    let told = problem.rsplit_once(" (").map_or(problem, |(told, _)| told);
    let told = told.rsplit(": ").next().unwrap_or(told);
    told.split('`').step_by(2).collect::<Vec<_>>().join("…")
}
