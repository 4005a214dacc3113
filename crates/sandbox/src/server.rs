//! Assembles the sandbox and serves it: one HTTP port for everything, and one port for mail.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Uri;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{SandboxConfig, SandboxInfo};
use crate::envelope::Refusal;
use crate::faults::FaultState;
use crate::handle::WorldHandle;
use crate::ids::Ids;
use crate::logpush::ledger::Ledger;
use crate::okta::tenant::Tenant;
use crate::received::Received;
use crate::route::API;
use crate::shared::Shared;
use crate::story::Story;
use crate::story::trickle::Trickle;
use crate::world::World;
use crate::{api, chat, control, fault_layer, okta, smtp};

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The configuration is invalid.
    #[error("{0}")]
    Config(String),
    /// The port is in use, or not allowed.
    #[error("could not listen on 127.0.0.1:{port}")]
    Listen {
        /// The requested port.
        port: u16,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The client that pushes logs could not be created.
    #[error("could not prepare the client that pushes logs")]
    Client(#[from] reqwest::Error),
}

/// A running sandbox. Dropping it stops it; [`Sandbox::stop`] also waits for the end.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Creates the account and serves it on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Config`] if the configuration is invalid; [`SandboxError::Listen`] if the port is not available.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        if let Some(why) = config.refusal() {
            return Err(SandboxError::Config(why));
        }
        let port = config.port;
        let listening = |source| SandboxError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(listening)?;
        let http_port = listener.local_addr().map_err(listening)?.port();
        let mail_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(listening)?;
        let smtp_port = mail_listener.local_addr().map_err(listening)?.port();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .build()?;
        let clock = Clock::new(config.now);
        let mut world = World::new(&config, clock.now());
        let story = Story::new(&config, &mut world, clock.now());
        let shared = Arc::new(Shared {
            info: info(&config, &world, http_port, smtp_port),
            clock,
            faults: FaultState::new(),
            http,
            stopping: CancellationToken::new(),
            story,
            trickle: Trickle::default(),
            pushed: Ledger::default(),
            received: Received::default(),
            okta: Tenant::default(),
            world: Mutex::new(world),
            requests: Mutex::default(),
            config,
        });
        let stopping = shared.stopping.clone();
        let app = router(&shared);
        let http_task = tokio::spawn(async move {
            let served = axum::serve(listener, app).with_graceful_shutdown(stopping.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!("the sandbox stopped serving: {error}");
            }
        });
        let mail_task = tokio::spawn(smtp::serve(mail_listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks: vec![http_task, mail_task],
        })
    }

    /// The URLs and the credentials.
    #[must_use]
    pub fn info(&self) -> &SandboxInfo {
        &self.shared.info
    }

    /// Reads and changes the world while it is served.
    #[must_use]
    pub fn world(&self) -> WorldHandle {
        WorldHandle::new(Arc::clone(&self.shared))
    }

    /// Stops serving and waits for connections to end, at most two seconds.
    pub async fn stop(mut self) {
        self.shared.stopping.cancel();
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(Duration::from_secs(2), &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.shared.trickle.stop();
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn info(config: &SandboxConfig, world: &World, http_port: u16, smtp_port: u16) -> SandboxInfo {
    let mut ids = Ids::new(config.seed, "credentials");
    let root = format!("http://127.0.0.1:{http_port}");
    SandboxInfo {
        base_url: format!("{root}{API}"),
        account_id: world.account_id.clone(),
        account_name: world.account_name.clone(),
        token: ids.secret("cfut_"),
        account_token: ids.secret("cfat_"),
        email: world.owner_email.clone(),
        api_key: ids.secret("cfk_"),
        okta_url: format!("{root}/okta"),
        slack_webhook_url: format!("{root}/slack/services/T000/B000/{}", ids.ray()),
        teams_webhook_url: format!("{root}/teams/workflows/{}", ids.ray()),
        google_chat_webhook_url: format!("{root}/google-chat/v1/spaces/{}/messages", ids.ray()),
        smtp_host: "127.0.0.1".to_owned(),
        smtp_port,
        control_url: format!("{root}/sandbox"),
    }
}

/// The operations of the simulated API, as method and path template, for tests that must call each of them.
#[must_use]
pub fn served_operations() -> Vec<(String, String)> {
    api::routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect()
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut api = Router::new();
    for route in api::routes() {
        api = api.route(route.path, route.handler);
    }
    let no_route = async |uri: Uri| Refusal::no_route(uri.path());
    let api = api
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(middleware::from_fn_with_state(
            Arc::clone(shared),
            api::audit::layer,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(shared),
            fault_layer::layer,
        ));
    Router::new()
        .nest(API, api)
        .merge(okta::router())
        .merge(chat::router())
        .merge(control::router())
        .with_state(Arc::clone(shared))
}
