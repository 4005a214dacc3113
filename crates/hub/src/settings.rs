//! What an operator can set, with defaults that work.
//!
//! A setting comes from the environment (`FLAREWARD_SECTION_NAME`), else from the TOML file, else from the
//! defaults below. The sentences here are the reference: `docs/settings.md` is made from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where Flareward keeps its files.
    pub data: Data,
    /// What Flareward serves.
    pub server: Server,
    /// Where rows are kept.
    pub store: StoreSettings,
    /// How log batches are taken in.
    pub ingest: Ingest,
    /// Where log records come from.
    pub logs: Logs,
    /// Where log batches are kept, and for how long.
    pub archive: Archive,
    /// How rules are run.
    pub detection: DetectionSettings,
    /// How Cloudflare is read.
    pub sync: Sync,
    /// How access is changed.
    pub provisioning: Provisioning,
    /// Which addresses are one person.
    pub people: People,
    /// Which addresses Flareward may call.
    pub egress: Egress,
    /// How signals are sent.
    pub transmit: Transmit,
    /// How messages are sent.
    pub coaching: Coaching,
    /// How mail is sent.
    pub smtp: Smtp,
    /// The file that these were read from, if any; not itself a setting.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// Where Flareward keeps its files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The folder of the database, the archive and the key file.
    pub dir: PathBuf,
}

/// What Flareward serves.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address and port to listen on.
    pub listen: String,
    /// How others reach this server: the base of log destinations and of the issuer of signals. Empty: `http://`
    /// and the address that it listens on.
    pub public_url: String,
    /// The most connections at once; when all are taken, the one that has waited the longest without a request is
    /// closed for the next. 0: as many as the process may have open files, less those that it needs itself, and at
    /// most 16,384.
    pub connections_max: usize,
    /// Minutes after which a session of the console ends that was not used; a page that is left open does not use it.
    /// 0: no such limit. A session ends after twelve hours in any case.
    pub session_idle_minutes: u64,
}

/// Where rows are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite:///path/file.db` or `postgres://user:password@host/database`. Empty: a SQLite file in the data
    /// folder.
    pub url: String,
}

/// How log batches are taken in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// The largest batch, uncompressed, in bytes. Cloudflare sends at most 1 GB.
    pub batch_limit_bytes: u64,
    /// The longest line, in bytes; a longer one is rejected and the rest of the batch goes on.
    pub line_limit_bytes: usize,
    /// How many times larger than its compressed form a batch may be, once it is beyond 16 MiB.
    pub expansion_limit: u64,
    /// Batches that are received at once, three quarters of them from one connection at most; more are answered 503 and
    /// come again.
    pub concurrent_batches: usize,
    /// The longest that the receiving of one batch may take, in seconds. What lies in the archive for more than twice as
    /// long without being known was cut off, and is adopted or removed.
    pub receive_limit_seconds: u64,
}

/// Where log records come from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Minutes between two looks at the Logpush jobs that were enabled here; 0 looks only when asked.
    pub check_interval_minutes: u64,
    /// Read the Access authentication log and the audit log from the API where no Logpush job delivers them, and
    /// Cloudflare's risk events, which it pushes nowhere.
    pub pull: bool,
    /// Minutes between two such readings of a connection.
    pub pull_interval_minutes: u64,
    /// Minutes before the newest record that are read again, for records that Cloudflare wrote late.
    pub pull_overlap_minutes: u64,
    /// Hours that the first reading goes back; risk events are read back to the last reset of each user's score.
    pub pull_first_hours: u64,
    /// Pages of a thousand records that one reading of a dataset may take, and of risk events how many users; the next
    /// goes on where it stopped.
    pub pull_pages: usize,
    /// Minutes between two looks into a bucket that Logpush writes to; 0 looks only when asked.
    pub objects_interval_minutes: u64,
}

/// Where log batches are kept, and for how long.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// `s3://bucket/path`, `r2://bucket/path` with an endpoint, or `file:///folder`. Empty: a folder in the data folder.
    /// The keys of a bucket come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or from the machine's role.
    pub url: String,
    /// Where the bucket's service is, when it is not Amazon's.
    pub endpoint: String,
    /// Days after which a batch and its events are removed; 0 keeps them.
    pub retention_days: u64,
    /// Other numbers of days for single datasets, as `gateway_dns=30`; 0 keeps what the dataset has.
    pub retention_days_by_dataset: Vec<String>,
}

impl Archive {
    /// The days that batches of a dataset are kept; 0: for ever.
    pub fn days_of(&self, dataset: &str) -> u64 {
        let own = self.retention_days_by_dataset.iter().find_map(|rule| {
            let (name, days) = rule.split_once('=')?;
            (name.trim() == dataset)
                .then(|| days.trim().parse().ok())
                .flatten()
        });
        own.unwrap_or(self.retention_days)
    }
}

/// How rules are run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionSettings {
    /// Minutes by which a record may come later than others of its source before it counts as late. Matches are kept
    /// so much longer than rules look back; a late record is correlated with those that are still kept.
    pub lateness_minutes: i64,
    /// Matches of one rule by one person on one target become one detection within stretches of so many minutes.
    pub collapse_minutes: u32,
}

/// How Cloudflare is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Minutes between two syncs of a connection; 0 syncs only when asked.
    pub interval_minutes: u64,
    /// Calls in five minutes for each credential. Cloudflare allows 1,200, shared with the dashboard of the
    /// token's owner.
    pub calls_per_window: u32,
    /// The longest that one answer of Cloudflare may take, in seconds.
    pub answer_timeout_seconds: u64,
    /// Access users in an hour about whom more is read (last seen identity, sessions, failed logins), for
    /// connections with rules that ask the identity provider; three calls each. 0: only when asked.
    pub details_per_hour: u32,
    /// After this many days, what an identity provider said of someone no longer shows that they lack a group or
    /// claim: rules that ask for it become unknown.
    pub identity_max_age_days: u32,
}

/// How access is changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provisioning {
    /// Super administrators of an account that must stay: a change that would leave fewer is refused.
    pub super_administrators: usize,
    /// People whom one change may concern.
    pub people_per_change: usize,
    /// Hours after which a list is too old to judge a change by.
    pub stale_after_hours: u64,
    /// Milliseconds after a verified write of a whole object until it is looked at once more, in case someone
    /// else wrote what they had read before.
    pub second_look_ms: u64,
    /// Minutes before the end of a grant for a time at which the journal is told.
    pub notice_minutes: u64,
    /// The longest wait between two attempts to take a grant back whose time is over, in seconds.
    pub retry_cap_seconds: u64,
}

/// Which addresses are one person.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct People {
    /// Domains that were renamed, as `old.example=new.example`: an address in the old one is the person with the
    /// same name in the new one.
    pub domain_aliases: Vec<String>,
    /// Take `ana+news@x.example` for `ana@x.example`.
    pub ignore_plus_tags: bool,
}

/// Which addresses Flareward may call.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Allow `http://`, without encryption.
    pub allow_http: bool,
    /// Allow this machine's own addresses (127.0.0.0/8, ::1).
    pub allow_loopback: bool,
    /// Hosts that may resolve to private addresses, for example a chat server inside the company.
    pub private_hosts: Vec<String>,
    /// Endings of host names that a risk score integration of type Okta may have.
    pub okta_hosts: Vec<String>,
}

/// How signals are sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transmit {
    /// The longest wait between two attempts, in seconds.
    pub retry_cap_seconds: u64,
    /// Hours after which a signal that no attempt could deliver is given up.
    pub give_up_after_hours: u64,
}

/// How messages are sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coaching {
    /// Attempts to deliver one message.
    pub attempts: u32,
    /// The longest wait between two attempts, in seconds.
    pub retry_cap_seconds: u64,
}

/// How mail is sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The mail server's name; empty: no mail is sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `starttls`, `tls`, or `none` for a relay on this machine.
    pub encryption: String,
    /// The user name; empty: no login.
    pub username: String,
    /// The file that holds the password.
    pub password_file: String,
    /// The sender's address.
    pub from: String,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("flareward-data"),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8787".to_owned(),
            public_url: String::new(),
            connections_max: 0,
            session_idle_minutes: 120,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            batch_limit_bytes: 1 << 30,
            line_limit_bytes: 1 << 20,
            expansion_limit: 200,
            concurrent_batches: 16,
            receive_limit_seconds: 900,
        }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            check_interval_minutes: 5,
            pull: true,
            pull_interval_minutes: 5,
            pull_overlap_minutes: 5,
            pull_first_hours: 24,
            pull_pages: 200,
            objects_interval_minutes: 5,
        }
    }
}

impl Default for DetectionSettings {
    fn default() -> Self {
        Self {
            lateness_minutes: 10,
            collapse_minutes: 30,
        }
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval_minutes: 60,
            calls_per_window: cloudflare::budget::CALLS_PER_WINDOW,
            answer_timeout_seconds: 30,
            details_per_hour: 200,
            identity_max_age_days: 30,
        }
    }
}

impl Default for Provisioning {
    fn default() -> Self {
        Self {
            super_administrators: 2,
            people_per_change: 10,
            stale_after_hours: 48,
            second_look_ms: 400,
            notice_minutes: 60,
            retry_cap_seconds: 900,
        }
    }
}

impl Default for Egress {
    fn default() -> Self {
        let okta = [
            ".okta.com",
            ".oktapreview.com",
            ".okta-emea.com",
            ".okta-gov.com",
            ".okta.mil",
        ];
        Self {
            allow_http: false,
            allow_loopback: false,
            private_hosts: Vec::new(),
            okta_hosts: okta.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Transmit {
    fn default() -> Self {
        Self {
            retry_cap_seconds: 600,
            give_up_after_hours: 72,
        }
    }
}

impl Default for Coaching {
    fn default() -> Self {
        Self {
            attempts: 8,
            retry_cap_seconds: 600,
        }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            encryption: "starttls".to_owned(),
            username: String::new(),
            password_file: String::new(),
            from: String::new(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("could not read the settings file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file or a value is not what it should be.
    #[error("the settings are not understood: {0}")]
    Understand(String),
}

impl Settings {
    /// Reads the file, if one is given, and lays the environment over it.
    ///
    /// # Errors
    ///
    /// When the file is missing or a name or value in it is not known.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsError> {
        let mut table = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
                    path: path.to_owned(),
                    source,
                })?;
                text.parse()
                    .map_err(|error: toml::de::Error| SettingsError::Understand(error.to_string()))?
            }
        };
        let defaults = toml::Table::try_from(Settings::default())
            .map_err(|error| SettingsError::Understand(error.to_string()))?;
        for (name, value) in environment {
            overlay(&mut table, &defaults, &name, &value)?;
        }
        let mut settings: Settings =
            toml::Value::Table(table)
                .try_into()
                .map_err(|error: toml::de::Error| {
                    SettingsError::Understand(error.to_string().trim().replace('\n', " "))
                })?;
        settings.file = file.map(Path::to_owned);
        for rule in &settings.people.domain_aliases {
            let is_rule = rule.split_once('=').is_some_and(|(old, new)| {
                [old, new]
                    .iter()
                    .all(|domain| domain.contains('.') && !domain.contains('@'))
            });
            if !is_rule {
                return Err(SettingsError::Understand(format!(
                    "people.domain_aliases must be like old.example=new.example, not \"{rule}\""
                )));
            }
        }
        for rule in &settings.archive.retention_days_by_dataset {
            let is_rule = rule.split_once('=').is_some_and(|(dataset, days)| {
                rules::Dataset::named(dataset.trim()).is_some() && days.trim().parse::<u64>().is_ok()
            });
            if !is_rule {
                return Err(SettingsError::Understand(format!(
                    "archive.retention_days_by_dataset must be like gateway_dns=30, not \"{rule}\""
                )));
            }
        }
        Ok(settings)
    }

    /// The store's address, with the default filled in.
    pub fn store_url(&self) -> String {
        if self.store.url.is_empty() {
            format!("sqlite://{}", self.data.dir.join("flareward.db").display())
        } else {
            self.store.url.clone()
        }
    }

    /// The file of a SQLite store.
    pub fn store_file(&self) -> Option<PathBuf> {
        let url = self.store_url();
        let path = url.strip_prefix("sqlite:")?;
        let path = path.split('?').next().unwrap_or_default();
        Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
    }

    /// The folder of an archive that is in no bucket.
    pub fn archive_folder(&self) -> Option<PathBuf> {
        match self.archive.url.as_str() {
            "" => Some(self.data.dir.join("archive")),
            url => url.strip_prefix("file://").map(PathBuf::from),
        }
    }
}

fn overlay(
    table: &mut toml::Table,
    defaults: &toml::Table,
    name: &str,
    value: &str,
) -> Result<(), SettingsError> {
    let Some(rest) = name.strip_prefix("FLAREWARD_") else {
        return Ok(());
    };
    let rest = rest.to_ascii_lowercase();
    let Some((section, key)) = rest.split_once('_') else {
        return Ok(());
    };
    let Some(default) = defaults.get(section).and_then(|section| section.get(key)) else {
        return Ok(());
    };
    let not_understood =
        |kind: &str| SettingsError::Understand(format!("{name} must be {kind}, not \"{value}\""));
    let value = match default {
        toml::Value::Integer(_) => {
            toml::Value::Integer(value.parse().map_err(|_| not_understood("a whole number"))?)
        }
        toml::Value::Boolean(_) => {
            toml::Value::Boolean(value.parse().map_err(|_| not_understood("true or false"))?)
        }
        toml::Value::Array(_) => toml::Value::Array(
            value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(Into::into)
                .collect(),
        ),
        _ => toml::Value::String(value.to_owned()),
    };
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
    Ok(())
}

/// The reference page of all settings, in Markdown.
pub fn reference() -> String {
    let schema = schemars::schema_for!(Settings).to_value();
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut page = String::from(
        "# Settings\n\nA setting comes from the environment, else from the file given with `--config`, else from \
         the default.\nThis page is made from the code: `flareward settings` prints it.\n",
    );
    let text = |value: &serde_json::Value| {
        value
            .get("description")
            .and_then(|text| text.as_str())
            .unwrap_or_default()
            .replace('\n', " ")
    };
    let empty = serde_json::Map::new();
    let sections = schema["properties"].as_object().unwrap_or(&empty);
    for (section, property) in sections {
        let name = property["$ref"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let definition = &schema["$defs"][name];
        page.push_str(&format!("\n## `[{section}]`\n\n{}\n\n", text(property)));
        page.push_str("| setting | environment | default | meaning |\n|---|---|---|---|\n");
        for (key, field) in definition["properties"].as_object().unwrap_or(&empty) {
            let variable = format!("FLAREWARD_{section}_{key}").to_uppercase();
            let default = &defaults[section][key];
            page.push_str(&format!(
                "| `{key}` | `{variable}` | `{default}` | {} |\n",
                text(field)
            ));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::load(
            None,
            environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        )
    }

    #[test]
    fn the_environment_wins_and_must_fit() {
        let settings = from(&[
            ("FLAREWARD_SYNC_INTERVAL_MINUTES", "5"),
            ("FLAREWARD_EGRESS_ALLOW_LOOPBACK", "true"),
            ("FLAREWARD_EGRESS_OKTA_HOSTS", ".okta.com, .id.example"),
            ("FLAREWARD_SECRET_KEY", "not a setting"),
        ])
        .unwrap();
        assert_eq!(settings.sync.interval_minutes, 5);
        assert!(settings.egress.allow_loopback);
        assert_eq!(settings.egress.okta_hosts, [".okta.com", ".id.example"]);
        let problem = from(&[("FLAREWARD_SYNC_INTERVAL_MINUTES", "often")])
            .unwrap_err()
            .to_string();
        assert!(
            problem.contains("FLAREWARD_SYNC_INTERVAL_MINUTES must be a whole number"),
            "{problem}"
        );
    }

    #[test]
    fn a_dataset_has_its_own_days_and_a_rule_that_is_none_is_refused() {
        let settings = from(&[
            ("FLAREWARD_ARCHIVE_RETENTION_DAYS", "90"),
            (
                "FLAREWARD_ARCHIVE_RETENTION_DAYS_BY_DATASET",
                "gateway_dns=30, ssh_logs = 0",
            ),
        ])
        .unwrap();
        let days = |dataset| settings.archive.days_of(dataset);
        assert_eq!(
            (days("gateway_dns"), days("ssh_logs"), days("gateway_http")),
            (30, 0, 90)
        );
        for rule in ["gateway_dns", "gateway_smoke=3", "gateway_dns=soon"] {
            let problem = from(&[("FLAREWARD_ARCHIVE_RETENTION_DAYS_BY_DATASET", rule)]).unwrap_err();
            assert!(problem.to_string().contains(rule), "{problem}");
        }
    }

    #[test]
    fn an_unknown_name_in_the_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flareward.toml");
        std::fs::write(&file, "[server]\nlisten_on = \"x\"\n").unwrap();
        let problem = Settings::load(Some(&file), []).unwrap_err().to_string();
        assert!(problem.contains("listen_on"), "{problem}");
    }

    #[test]
    fn the_reference_names_every_setting() {
        let page = reference();
        for name in [
            "FLAREWARD_DATA_DIR",
            "FLAREWARD_EGRESS_OKTA_HOSTS",
            "FLAREWARD_SMTP_PASSWORD_FILE",
        ] {
            assert!(page.contains(name), "{name} is missing");
        }
    }
}
