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

/// What to serve on.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on, instead of the setting's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Write the administrator's token to this new file, readable by its owner alone, instead of printing it. Only the
    /// first start makes one
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    output::text_only(global.output, "what serve prints")?;
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
    for wide in hub::private::wide(&app.settings) {
        tracing::warn!("{wide}");
    }
    first_token(&app, args.admin_token_file.as_deref()).await?;
    for warning in warnings(&app.settings) {
        tracing::warn!("{warning}");
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

/// What is dangerous about how this server is set up, with what to do.
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
            "server.public_url is {public}: tokens, log secrets and records cross the network unencrypted; use https"
        ));
    }
    let listen: Option<std::net::SocketAddr> = settings.server.listen.parse().ok();
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) && !public.starts_with("https://") {
        warnings.push(format!(
            "this server listens on {}, beyond this machine, without TLS: put a proxy that terminates TLS before it, and \
             set server.public_url to its https address",
            settings.server.listen
        ));
    }
    let egress = &settings.egress;
    let wide = [
        (
            egress.allow_http,
            "egress.allow_http lets secrets and signals be sent unencrypted",
        ),
        (
            egress.allow_loopback,
            "egress.allow_loopback lets whoever may set an address reach services of this machine",
        ),
        (
            !egress.private_hosts.is_empty(),
            "egress.private_hosts lets whoever may set an address reach hosts of a private network",
        ),
    ];
    warnings.extend(
        wide.into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, words)| words.to_owned()),
    );
    warnings
}

/// Makes the administrator's token at the first start: to a file, or on a line of its own on standard output, which
/// no log goes to.
async fn first_token(app: &App, file: Option<&Path>) -> anyhow::Result<()> {
    if !app.store.access_token_list().await?.is_empty() {
        if let Some(file) = file {
            eprintln!(
                "{} is not written: there are tokens already (`flareward token list`)",
                file.display()
            );
        }
        return Ok(());
    }
    // The file first: a token that cannot be handed over must not be made.
    let mut kept = match file {
        Some(file) => Some(hub::private::new_file(file).with_context(|| {
            format!(
                "cannot make {} for the administrator's token; it must not exist yet",
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
            eprintln!("The administrator's token, for the console and the API, shown this once:");
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
    stages.await.context("the stages ended badly")?;
    app.store.close().await;
    served.context("serving ended badly")
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
