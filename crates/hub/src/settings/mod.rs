//! What an operator can set, with defaults that work.
//!
//! A setting comes from the environment (`FLAREWARD_SECTION_NAME`), else from the TOML file, else from the
//! defaults of its section, which has a file of its own here. The sentences on sections and fields are the
//! reference: `docs/settings.md` is made from them.
//!
//! Reads the settings file. Writes nothing. Start reading at [`Settings::load`].

mod archive;
mod coaching;
mod data;
mod detection;
mod egress;
mod environment;
mod ingest;
mod logs;
mod people;
mod provisioning;
mod reference;
mod server;
mod smtp;
mod store;
mod sync;
mod transmit;

pub use self::archive::Archive;
pub use self::coaching::Coaching;
pub use self::data::Data;
pub use self::detection::DetectionSettings;
pub use self::egress::Egress;
pub use self::ingest::Ingest;
pub use self::logs::Logs;
pub use self::people::People;
pub use self::provisioning::Provisioning;
pub use self::reference::reference;
pub use self::server::Server;
pub use self::smtp::Smtp;
pub use self::store::StoreSettings;
pub use self::sync::Sync;
pub use self::transmit::Transmit;

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
            environment::overlay(&mut table, &defaults, &name, &value)?;
        }
        let mut settings: Settings =
            toml::Value::Table(table)
                .try_into()
                .map_err(|error: toml::de::Error| {
                    SettingsError::Understand(error.to_string().trim().replace('\n', " "))
                })?;
        settings.file = file.map(Path::to_owned);
        settings.people.check()?;
        settings.archive.check()?;
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
