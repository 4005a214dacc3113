//! What the stages share: store, settings, clock, secrets, archive, and the wake-up call. What a module keeps in memory,
//! such as the rules, is in its own slot.

use crate::archive::{Archive, ArchiveError};
use crate::egress::EgressGuard;
use crate::private;
use crate::progress::Progress;
use crate::sealing_key::{self, SealingKeyError};
use crate::secret::{Sealer, SecretError, digest};
use crate::settings::Settings;
use crate::slots::Slots;
use crate::wake::Wake;
use cloudflare::{Client, ClientOptions, CloudflareError, Credential};
use model::{Clock, ConnectionId, CredentialKind, IdSource, RandomIds, SystemClock};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{ConnectionRow, Store, StoreError};

/// Everything that a stage or a handler needs. Cloning shares it.
#[derive(Clone)]
pub struct App {
    /// All rows.
    pub store: Store,
    /// What the operator set.
    pub settings: Arc<Settings>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// Seals and opens secrets.
    pub sealer: Arc<Sealer>,
    /// Which addresses may be called.
    pub egress: EgressGuard,
    /// Where log batches lie.
    pub archive: Archive,
    /// This process, as the holder of leases.
    pub holder: Arc<str>,
    /// Whether the stages that this process runs succeed.
    pub stage_health: Arc<crate::stage_health::StageHealth>,
    /// Wake-up calls between the stages of this process.
    pub wake: Arc<Wake>,
    /// What modules keep in memory.
    pub(crate) slots: Arc<Slots>,
    /// By digest of the credential and base URL: connections that share a credential share its budget.
    clients: Arc<Mutex<HashMap<String, Client>>>,
}

/// Why Flareward cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be made.
    #[error("could not create the data folder {path}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database.
    #[error("could not open the database")]
    Store(#[from] StoreError),
    /// The key that seals secrets.
    #[error("could not load the encryption key")]
    Key(#[from] SealingKeyError),
    /// The archive.
    #[error("could not open the archive")]
    Archive(#[from] ArchiveError),
    /// Records of an earlier version.
    #[error("could not move stored records into the archive; the next start continues")]
    CarryOver(#[from] crate::carry_over::CarryOverError),
    /// The HTTP client.
    #[error("could not start the HTTP client")]
    Http(#[from] reqwest::Error),
}

/// Why a connection's client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The stored credential cannot be opened.
    #[error("the stored credential of connection {label} cannot be decrypted")]
    Secret {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The base URL may not be called.
    #[error("the base URL of connection {label} is not allowed")]
    Egress {
        /// Which connection.
        label: String,
        /// Why.
        #[source]
        source: crate::egress::EgressError,
    },
    /// The credential or address cannot be used.
    #[error(transparent)]
    Cloudflare(#[from] CloudflareError),
}

impl App {
    /// Opens everything with the machine's clock and randomness.
    ///
    /// # Errors
    ///
    /// What could not be opened.
    pub async fn open(settings: Settings) -> Result<App, OpenError> {
        Self::open_with(settings, Arc::new(SystemClock), Arc::new(RandomIds)).await
    }

    /// The same, for a caller who shows how far the move of an earlier version's records is.
    ///
    /// # Errors
    ///
    /// What could not be opened.
    pub async fn open_showing(
        settings: Settings,
        show: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<App, OpenError> {
        Self::opened(settings, Arc::new(SystemClock), Arc::new(RandomIds), show).await
    }

    /// The same with a clock and ids of the caller's.
    ///
    /// # Errors
    ///
    /// What could not be opened.
    pub async fn open_with(
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<App, OpenError> {
        Self::opened(settings, clock, ids, &|_| {}).await
    }

    async fn opened(
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        show: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<App, OpenError> {
        let folder = &settings.data.dir;
        private::folder(folder).map_err(|source| OpenError::Folder {
            path: folder.display().to_string(),
            source,
        })?;
        let store = Store::connect(&settings.store_url()).await?;
        let archive = Archive::open(&settings.archive, folder, settings.egress.allow_http)?;
        let sealer = sealing_key::open(&store, &archive, folder, clock.now()).await?;
        let egress = EgressGuard::new(settings.egress.clone())?;
        let holder = ids.new_id(clock.now()).into();
        let app = App {
            store,
            settings: Arc::new(settings),
            clock,
            ids,
            sealer: Arc::new(sealer),
            egress,
            archive,
            holder,
            stage_health: Arc::default(),
            wake: Arc::default(),
            slots: Arc::default(),
            clients: Arc::default(),
        };
        crate::carry_over::run(&app, show).await?;
        crate::rule_admin::reload(&app).await?;
        Ok(app)
    }

    /// The base of addresses that others reach this server by, without a trailing slash.
    pub fn public_url(&self) -> String {
        let set = self.settings.server.public_url.trim_end_matches('/');
        if set.is_empty() {
            format!("http://{}", self.settings.server.listen)
        } else {
            set.to_owned()
        }
    }

    /// What a command line ends with that works on this store, wherever it is typed on this machine: a blank, then
    /// the settings file, if there is one, and the data folder.
    pub fn command_options(&self) -> String {
        let absolute = |path: &Path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            quoted(&path.display().to_string())
        };
        let mut options = String::new();
        if let Some(file) = &self.settings.file {
            options.push_str(&format!(" --config {}", absolute(file)));
        }
        options.push_str(&format!(" --data-dir {}", absolute(&self.settings.data.dir)));
        options
    }

    /// The client of a connection. One credential keeps one client, so that all its callers share the budget.
    ///
    /// # Errors
    ///
    /// When the credential cannot be opened or the base URL may not be called.
    pub fn client(&self, connection: &ConnectionRow) -> Result<Client, ClientError> {
        let secret = self
            .sealer
            .unseal_text(&credential_place(&connection.id), &connection.credential_sealed)
            .map_err(|source| ClientError::Secret {
                label: connection.label.clone(),
                source,
            })?;
        let key = format!("{} {}", digest(secret.expose_secret()), connection.base_url);
        let mut clients = self.clients.lock().expect("no holder of this lock panics");
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let credential = match connection.credential_kind {
            CredentialKind::GlobalKey => Credential::global_key(
                connection.credential_email.as_deref().unwrap_or_default(),
                secret.expose_secret(),
            ),
            CredentialKind::UserToken | CredentialKind::AccountToken => {
                Credential::token(secret.expose_secret())
            }
        };
        let client = self.new_client(&connection.label, credential, &connection.base_url)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// A client for a credential that is not stored yet.
    pub(crate) fn new_client(
        &self,
        label: &str,
        credential: Credential,
        base_url: &str,
    ) -> Result<Client, ClientError> {
        self.egress
            .check_base(base_url)
            .map_err(|source| ClientError::Egress {
                label: label.to_owned(),
                source,
            })?;
        let options = ClientOptions {
            credential,
            base_url: base_url.to_owned(),
            calls_per_window: self.settings.sync.calls_per_window,
        };
        let client = Client::new(&options, self.egress.http().clone())?;
        let seconds = self.settings.sync.answer_timeout_seconds;
        Ok(client.with_timeout(Duration::from_secs(seconds)))
    }
}

/// Where a connection's credential is sealed for.
pub(crate) fn credential_place(id: &ConnectionId) -> String {
    format!("connection/{id}/credential")
}

/// Where a connection's log secret is sealed for.
pub(crate) fn ingest_secret_place(id: &ConnectionId) -> String {
    format!("connection/{id}/ingest-secret")
}

/// A word as a shell takes it for one.
pub fn quoted(word: &str) -> String {
    let is_plain = |sign: char| sign.is_alphanumeric() || "@%+=:,./_-".contains(sign);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
