//! What an operator can set, with defaults that work.
//!
//! A setting comes from the environment (`FLAREWARD_SECTION_NAME`), else from the TOML file, else from the
//! defaults below. The sentences here are the reference: `docs/settings.md` is made from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Local files.
    pub data: Data,
    /// The HTTP server.
    pub server: Server,
    /// The database.
    pub store: StoreSettings,
    /// Receiving log batches.
    pub ingest: Ingest,
    /// Log sources.
    pub logs: Logs,
    /// The log archive and its retention.
    pub archive: Archive,
    /// Detection rules.
    pub detection: DetectionSettings,
    /// Syncing from Cloudflare.
    pub sync: Sync,
    /// Access changes.
    pub provisioning: Provisioning,
    /// Matching email addresses to people.
    pub people: People,
    /// Outgoing connections.
    pub egress: Egress,
    /// Shared Signals delivery.
    pub transmit: Transmit,
    /// Coaching messages.
    pub coaching: Coaching,
    /// Outgoing email.
    pub smtp: Smtp,
    /// The settings file, if any; not a setting itself.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// Local files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Data folder: database, archive and key file.
    pub dir: PathBuf,
}

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: String,
    /// Public URL of this server. Used in log destinations and as the issuer of signals. Empty: `http://` and the
    /// listen address.
    pub public_url: String,
    /// Maximum number of concurrent connections. At the limit, a new connection closes the one that has been idle
    /// longest. 0: the process's open-file limit minus the files that Flareward needs itself, at most 16,384.
    pub connections_max: usize,
    /// Minutes of inactivity after which a console session ends. An open page does not count as activity. 0: no
    /// idle limit. Every session ends after twelve hours.
    pub session_idle_minutes: u64,
}

/// The database.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Database URL: `sqlite:///path/file.db` or `postgres://user:password@host/database`. Empty: a SQLite file in
    /// the data folder.
    pub url: String,
}

/// Receiving log batches.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Maximum uncompressed size of a batch, in bytes. Cloudflare sends at most 1 GB.
    pub batch_limit_bytes: u64,
    /// Maximum length of a line, in bytes. Longer lines are rejected; the rest of the batch is processed.
    pub line_limit_bytes: usize,
    /// Maximum ratio of uncompressed to compressed size of a batch. Applies beyond 16 MiB.
    pub expansion_limit: u64,
    /// Maximum number of batches received concurrently, at most three quarters of them from one connection. Further
    /// batches get status 503, and the sender retries them.
    pub concurrent_batches: usize,
    /// Maximum time to receive one batch, in seconds. Objects that have been in the archive for more than twice
    /// this time without a database row come from interrupted deliveries and are adopted or removed.
    pub receive_limit_seconds: u64,
}

/// Log sources.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Minutes between checks of the Logpush jobs that Flareward enabled. 0: check only on request.
    pub check_interval_minutes: u64,
    /// Pull the Access authentication log and the audit log from the API if no Logpush job delivers them. Also pull
    /// Cloudflare's risk events, which Logpush does not offer.
    pub pull: bool,
    /// Minutes between pulls of a connection.
    pub pull_interval_minutes: u64,
    /// Minutes before the newest record that every pull reads again, to catch records that Cloudflare wrote late.
    pub pull_overlap_minutes: u64,
    /// Hours that the first pull goes back. Risk events are read back to the last reset of each user's score.
    pub pull_first_hours: u64,
    /// Maximum number of pages (of 1,000 records) in one pull of a dataset; for risk events, the maximum number of
    /// users. The next pull resumes there.
    pub pull_pages: usize,
    /// Minutes between reads of a bucket that Logpush writes to. 0: read only on request.
    pub objects_interval_minutes: u64,
}

/// The log archive and its retention.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// Archive location: `s3://bucket/path`, `r2://bucket/path` with an endpoint, or `file:///folder`. Empty: a folder
    /// in the data folder. The bucket's credentials come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or from
    /// the machine's role.
    pub url: String,
    /// Endpoint of the storage service, if it is not Amazon S3.
    pub endpoint: String,
    /// Days after which batches and their events are deleted. 0: keep them forever.
    pub retention_days: u64,
    /// Retention days for single datasets, for example `gateway_dns=30`. 0: keep the dataset forever.
    pub retention_days_by_dataset: Vec<String>,
}

impl Archive {
    /// The days that batches of a dataset are kept; 0: forever.
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

/// Detection rules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionSettings {
    /// Minutes that a record may arrive after other records of its source before it counts as late. Matches are kept
    /// this much longer than the rules look back. A late record is correlated only with matches that are still kept.
    pub lateness_minutes: i64,
    /// Time window in minutes. Matches of the same rule, person and target within one window become one detection.
    pub collapse_minutes: u32,
}

/// Syncing from Cloudflare.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Minutes between syncs of a connection. 0: sync only on request.
    pub interval_minutes: u64,
    /// Maximum number of API calls per credential in five minutes. Cloudflare allows 1,200, shared with the dashboard
    /// use of the token's owner.
    pub calls_per_window: u32,
    /// Timeout for one Cloudflare response, in seconds.
    pub answer_timeout_seconds: u64,
    /// Number of Access users per hour whose details (last seen identity, sessions, failed logins) are read in the
    /// background. Only for connections with rules that use identity provider data. Each user takes three API calls.
    /// 0: read details only on request.
    pub details_per_hour: u32,
    /// Days after which a last seen identity no longer proves that a person lacks a group or claim. Rules that
    /// require the group or claim then become unknown.
    pub identity_max_age_days: u32,
}

/// Access changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provisioning {
    /// Minimum number of super administrators per account. Changes that would leave fewer are refused.
    pub super_administrators: usize,
    /// Maximum number of people in one change.
    pub people_per_change: usize,
    /// Hours after which a list is too old for the guards. Changes are then refused until the next sync.
    pub stale_after_hours: u64,
    /// Milliseconds after a verified write of a whole object until it is verified a second time, in case another
    /// client overwrote it with older data.
    pub second_look_ms: u64,
    /// Minutes before the expiry of a timed grant at which a journal entry announces it.
    pub notice_minutes: u64,
    /// Maximum wait between attempts to revoke an expired grant, in seconds.
    pub retry_cap_seconds: u64,
}

/// Matching email addresses to people.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct People {
    /// Renamed domains, as `old.example=new.example`. An address in the old domain belongs to the person with the
    /// same local part in the new domain.
    pub domain_aliases: Vec<String>,
    /// Treat `ana+news@x.example` as `ana@x.example`.
    pub ignore_plus_tags: bool,
}

/// Outgoing connections.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Allow unencrypted `http://` URLs.
    pub allow_http: bool,
    /// Allow loopback addresses of this machine (127.0.0.0/8, ::1).
    pub allow_loopback: bool,
    /// Hosts that may resolve to private addresses, for example an internal chat server.
    pub private_hosts: Vec<String>,
    /// Allowed host name suffixes for risk score integrations of type Okta.
    pub okta_hosts: Vec<String>,
}

/// Shared Signals delivery.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transmit {
    /// Maximum wait between delivery attempts, in seconds.
    pub retry_cap_seconds: u64,
    /// Hours after which Flareward stops trying to deliver a signal.
    pub give_up_after_hours: u64,
}

/// Coaching messages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coaching {
    /// Maximum number of delivery attempts per message.
    pub attempts: u32,
    /// Maximum wait between delivery attempts, in seconds.
    pub retry_cap_seconds: u64,
}

/// Outgoing email.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// Host name of the mail server. Empty: no email is sent.
    pub host: String,
    /// Port of the mail server.
    pub port: u16,
    /// Encryption: `starttls`, `tls`, or `none` (for a relay on this machine).
    pub encryption: String,
    /// User name. Empty: no authentication.
    pub username: String,
    /// File that contains the password.
    pub password_file: String,
    /// Sender address.
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

/// Why the settings are invalid.
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
    /// The file or a value is invalid.
    #[error("invalid settings: {0}")]
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
                    "people.domain_aliases must have the form old.example=new.example, not \"{rule}\""
                )));
            }
        }
        for rule in &settings.archive.retention_days_by_dataset {
            let is_rule = rule.split_once('=').is_some_and(|(dataset, days)| {
                rules::Dataset::named(dataset.trim()).is_some() && days.trim().parse::<u64>().is_ok()
            });
            if !is_rule {
                return Err(SettingsError::Understand(format!(
                    "archive.retention_days_by_dataset must have the form gateway_dns=30, not \"{rule}\""
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
        "# Settings\n\nFlareward reads each setting from its environment variable, else from the file given with \
         `--config`, else it uses\nthe default. `flareward settings` generates this page.\n",
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
        page.push_str("| setting | environment variable | default | description |\n|---|---|---|---|\n");
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
