//! `flareward serve`: the console, the API, the log receiver and the stages, until asked to end.

use super::asked_to_end;
use crate::Global;
use anyhow::Context;
use hub::App;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What to serve on.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on, instead of the setting's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    let mut settings = crate::settings(global)?;
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    let listener = TcpListener::bind(&settings.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.server.listen))?;
    // A port of 0 becomes the one that was given.
    settings.server.listen = listener.local_addr()?.to_string();
    let app = App::open(settings).await?;
    if let Some(token) = hub::permission::token_first(&app).await? {
        eprintln!(
            "The administrator's token, shown this once: {}",
            token.expose_secret()
        );
    }
    for problem in &app.rules().problems {
        tracing::error!("a rule is left out: {problem}");
    }
    eprintln!(
        "Flareward serves {} on {}",
        app.public_url(),
        app.store.engine_name()
    );
    let stop = CancellationToken::new();
    let ending = stop.clone();
    tokio::spawn(async move {
        asked_to_end().await;
        ending.cancel();
    });
    together(app, listener, stop).await
}

/// Serves and runs the stages until `stop` is cancelled.
pub(crate) async fn together(app: App, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let stages = tokio::spawn(hub::driver::run(app.clone(), stop.clone()));
    let served = web::serve(app.clone(), listener, stop.clone()).await;
    stop.cancel();
    stages.await.context("the stages ended badly")?;
    app.store.close().await;
    served.context("serving ended badly")
}
