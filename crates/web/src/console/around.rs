//! What holds for every request of the console: no form of another site is taken, and every refusal is a page.
//!
//! A form's own value against forged requests is for its handler, since it belongs to a session
//! (`visitor::Visitor::must`); what the browser says of where a form comes from is asked here, for all of them and for
//! the login, which has no session yet. Start reading at [`around`].

use super::page::{PageError, error_page};
use crate::error::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hub::App;
use url::Url;

/// Maximum length in bytes of an error message that is shown on a page. Extractors return one sentence.
const REFUSAL_BYTES: usize = 4 << 10;

/// Middleware of all console routes.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.method().is_safe() && is_foreign(request.headers(), &app.public_url()) {
        return PageError::Foreign.into_response();
    }
    // Files and data are not looked at by people.
    let path = request.uri().path();
    let is_page = !path.starts_with("/assets/") && !path.ends_with(".json");
    let response = next.run(request).await;
    let status = response.status();
    if is_page && (status.is_client_error() || status.is_server_error()) && !is_html(&response) {
        return as_page(response).await;
    }
    response
}

fn is_html(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Converts an error, as text or problem document, to a page.
async fn as_page(mut response: Response) -> Response {
    let status = response.status();
    let words = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.detail().to_owned(),
        None => {
            let body = axum::body::to_bytes(response.into_body(), REFUSAL_BYTES).await;
            String::from_utf8_lossy(&body.unwrap_or_default()).into_owned()
        }
    };
    error_page(status, title(status), &words)
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        status if status.is_server_error() => "Server error",
        _ => "Invalid request",
    }
}

/// Whether a form was submitted from another site, based on the headers that browsers send. Other clients send none of
/// them.
fn is_foreign(headers: &HeaderMap, public_url: &str) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = said("sec-fetch-site").filter(|site| *site != "same-origin") {
        // A sibling domain may belong to someone else. `none` is what a person typed.
        return site != "none";
    }
    let Some(origin) = said("origin") else {
        return false;
    };
    let Ok(origin) = Url::parse(origin) else {
        // `null`: a page that hides where it is. Ours do not, towards ourselves (Referrer-Policy).
        return true;
    };
    let is_public = Url::parse(public_url).is_ok_and(|own| own.origin() == origin.origin());
    let authority = origin.host_str().map(|host| match origin.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    });
    let is_asked = authority.is_some() && authority.as_deref() == said("host");
    !is_public && !is_asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_known_by_what_the_browser_says() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            is_foreign(&headers, "https://hub.corp.example")
        };
        let host = ("host", "hub.corp.example");
        for own in [
            vec![host],
            vec![host, ("origin", "https://hub.corp.example")],
            vec![("host", "10.0.0.7:8787"), ("origin", "http://10.0.0.7:8787")],
            vec![
                host,
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://hub.corp.example"),
            ],
            vec![host, ("sec-fetch-site", "none")],
        ] {
            assert!(!asked(&own), "{own:?}");
        }
        for foreign in [
            vec![host, ("origin", "https://elsewhere.example")],
            vec![host, ("origin", "https://hub.corp.example.elsewhere.example")],
            vec![host, ("origin", "https://hub.corp.example:8443")],
            vec![host, ("origin", "null")],
            vec![host, ("origin", "nonsense")],
            vec![host, ("sec-fetch-site", "cross-site")],
            vec![
                host,
                ("sec-fetch-site", "same-site"),
                ("origin", "https://blog.corp.example"),
            ],
            vec![
                host,
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://hub.corp.example"),
            ],
        ] {
            assert!(asked(&foreign), "{foreign:?}");
        }
    }
}
