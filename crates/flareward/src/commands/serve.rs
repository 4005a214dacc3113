//! `flareward serve`: the console, the API, the log receiver and the stages, until asked to end.

use super::asked_to_end;
use crate::{Global, output};
use anyhow::Context;
use hub::App;
use hub::settings::Settings;
use secrecy::ExposeSecret;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Options of the server.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; overrides the setting
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// On the first start, write the administrator's token to this new file (readable by its owner only) instead of
    /// printing it
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    output::text_only(global.output, "the output of serve")?;
    let mut settings = crate::settings(global)?;
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    let listener = TcpListener::bind(&settings.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.server.listen))?;
    // A port of 0 becomes the one that was given.
    settings.server.listen = listener.local_addr()?.to_string();
    let app = crate::opened(settings).await?;
    for wide in hub::private::wide(&app.settings) {
        tracing::warn!("{wide}");
    }
    first_token(&app, args.admin_token_file.as_deref()).await?;
    for warning in warnings(&app.settings) {
        tracing::warn!("{warning}");
    }
    for problem in &app.rules().problems {
        tracing::error!("rule skipped: {problem}");
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

/// Warnings about an insecure configuration of this server, with the fix.
fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    let public = &settings.server.public_url;
    let is_local = |host: Option<url::Host<&str>>| match host {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if let Ok(url) = url::Url::parse(public)
        && url.scheme() == "http"
        && !is_local(url.host())
    {
        warnings.push(format!(
            "server.public_url is {public}: tokens, log secrets and records are sent unencrypted; use https"
        ));
    }
    let listen: Option<std::net::SocketAddr> = settings.server.listen.parse().ok();
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) && !public.starts_with("https://") {
        warnings.push(format!(
            "the server listens on {} without TLS and is reachable from other machines: put a \
                 TLS-terminating proxy in front of it, and set server.public_url to the proxy's https URL",
            settings.server.listen
        ));
    }
    let egress = &settings.egress;
    let wide = [
        (
            egress.allow_http,
            "egress.allow_http allows secrets and signals to be sent unencrypted",
        ),
        (
            egress.allow_loopback,
            "egress.allow_loopback allows anyone who can configure a URL to reach services on this machine",
        ),
        (
            !egress.private_hosts.is_empty(),
            "egress.private_hosts allows anyone who can configure a URL to reach hosts on a private network",
        ),
    ];
    warnings.extend(
        wide.into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, words)| words.to_owned()),
    );
    warnings
}

/// Creates the administrator's token on the first start: in a file, or on its own line on standard output, where no
/// log is written.
async fn first_token(app: &App, file: Option<&Path>) -> anyhow::Result<()> {
    if !app.store.access_token_list().await?.is_empty() {
        if let Some(file) = file {
            eprintln!(
                "{} was not written: tokens already exist (see `flareward token list`)",
                file.display()
            );
        }
        return Ok(());
    }
    // The file first: a token that cannot be handed over must not be made.
    let mut kept = match file {
        Some(file) => Some(hub::private::new_file(file).with_context(|| {
            format!(
                "cannot create {} for the administrator's token; the file must not exist yet",
                file.display()
            )
        })?),
        None => None,
    };
    let Some(token) = hub::permission::token_first(app).await? else {
        return Ok(());
    };
    match (&mut kept, file) {
        (Some(kept), Some(file)) => {
            writeln!(kept, "{}", token.expose_secret())?;
            eprintln!("The administrator's token is in {}", file.display());
        }
        _ => {
            eprintln!("Administrator's token for the console and the API (shown only once):");
            println!("{}", token.expose_secret());
        }
    }
    Ok(())
}

/// Serves and runs the stages until `stop` is cancelled.
pub(crate) async fn together(app: App, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let stages = tokio::spawn(hub::driver::run(app.clone(), stop.clone()));
    let served = web::serve(app.clone(), listener, stop.clone()).await;
    stop.cancel();
    stages.await.context("the stages failed")?;
    app.store.close().await;
    served.context("the server failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        warnings(&settings)
    }

    #[test]
    fn what_is_dangerous_about_the_settings_is_told_and_nothing_else() {
        assert_eq!(warned(|_| {}), Vec::<String>::new());
        assert!(
            warned(|settings| settings.server.public_url = "https://hub.corp.example".to_owned()).is_empty()
        );
        assert!(
            warned(|settings| settings.server.public_url = "http://127.0.0.1:8787".to_owned()).is_empty()
        );
        let plain = warned(|settings| settings.server.public_url = "http://hub.corp.example".to_owned());
        assert!(plain.len() == 1 && plain[0].contains("unencrypted"), "{plain:?}");
        let open = warned(|settings| settings.server.listen = "0.0.0.0:8787".to_owned());
        assert!(open.len() == 1 && open[0].contains("TLS"), "{open:?}");
        let behind = warned(|settings| {
            settings.server.listen = "0.0.0.0:8787".to_owned();
            settings.server.public_url = "https://hub.corp.example".to_owned();
        });
        assert!(behind.is_empty(), "{behind:?}");
        let wide = warned(|settings| {
            settings.egress.allow_http = true;
            settings.egress.allow_loopback = true;
            settings.egress.private_hosts = vec!["10.0.0.7".to_owned()];
        });
        assert_eq!(wide.len(), 3, "{wide:?}");
    }
}
