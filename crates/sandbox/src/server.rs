//! Assembles the sandbox and serves it: one HTTP port for everything, and one port for mail.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{SandboxConfig, SandboxInfo};
use crate::envelope::Refusal;
use crate::faults::{self, FaultState};
use crate::handle::WorldHandle;
use crate::ids::Ids;
use crate::logpush::delivery::Ledger;
use crate::okta::{self, Tenant};
use crate::received::Received;
use crate::story::{Story, Trickle};
use crate::world::World;
use crate::{audit, chat, control, smtp};

/// The base path of the simulated API.
pub(crate) const API: &str = "/client/v4";

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

/// The state that all parts of a running sandbox share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SandboxConfig,
    pub(crate) info: SandboxInfo,
    pub(crate) clock: Clock,
    pub(crate) faults: FaultState,
    pub(crate) http: reqwest::Client,
    pub(crate) stopping: CancellationToken,
    pub(crate) story: Story,
    pub(crate) trickle: Trickle,
    pub(crate) pushed: Ledger,
    pub(crate) received: Received,
    pub(crate) okta: Tenant,
    world: Mutex<World>,
    requests: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// The world. It stays readable after a panic of another holder.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count_request(&self, endpoint: &str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(endpoint.to_owned()).or_default() += 1;
    }

    /// The number of calls so far, by method and path template.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
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

/// One operation: its method, its path as in the API description, and its handler.
#[derive(Debug)]
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    handler: MethodRouter<Arc<Shared>>,
}

impl Route {
    fn new<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("only common methods are used below");
        Self {
            method,
            path,
            handler: on(filter, handler),
        }
    }

    pub(crate) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::GET, path, handler)
    }

    pub(crate) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::POST, path, handler)
    }

    pub(crate) fn put<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PUT, path, handler)
    }

    pub(crate) fn patch<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PATCH, path, handler)
    }

    pub(crate) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::DELETE, path, handler)
    }
}

/// Every operation of the simulated API.
fn routes() -> Vec<Route> {
    let mut routes = crate::accounts::routes();
    routes.extend(crate::account_tokens::routes());
    routes.extend(crate::members::routes());
    routes.extend(crate::roles::routes());
    routes.extend(crate::iam::routes());
    routes.extend(crate::access_users::routes());
    routes.extend(crate::access_groups::routes());
    routes.extend(crate::access_policies::routes());
    routes.extend(crate::access_apps::routes());
    routes.extend(crate::access_organization::routes());
    routes.extend(crate::access_service_tokens::routes());
    routes.extend(crate::risk_scoring::routes());
    routes.extend(crate::gateway_lists::routes());
    routes.extend(crate::gateway_logging::routes());
    routes.extend(crate::audit::routes());
    routes.extend(crate::intel::routes());
    routes.extend(crate::logpush::jobs::routes());
    routes.extend(crate::logpush::checks::routes());
    routes
}

/// The operations of the simulated API, as method and path template, for tests that must call each of them.
#[must_use]
pub fn served_operations() -> Vec<(String, String)> {
    routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect()
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut api = Router::new();
    for route in routes() {
        api = api.route(route.path, route.handler);
    }
    let no_route = async |uri: Uri| Refusal::no_route(uri.path());
    let api = api
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .layer(middleware::from_fn_with_state(Arc::clone(shared), audit::layer))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), faults::layer));
    Router::new()
        .nest(API, api)
        .merge(okta::router())
        .merge(chat::router())
        .merge(control::router())
        .with_state(Arc::clone(shared))
}
