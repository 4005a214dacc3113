//! The style sheets, scripts and pictures that pages load: built into the program, under names that change with
//! their content, so that they may be kept for ever.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One file.
struct Asset {
    /// Name in templates.
    name: &'static str,
    /// Path in the URL.
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// URL path of the file with this name in templates.
pub(super) fn path(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or("", |asset| asset.path)
}

/// Serves one file. Requires no login: the login page loads these files, and they contain no data of the organisation.
pub(super) async fn get(Path(file): Path<String>) -> Response {
    let found = ASSETS
        .iter()
        .find(|asset| asset.path.strip_prefix("/assets/") == Some(&file));
    match found {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.bytes,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "no such file").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_templates_name_is_there() {
        for name in [
            "console.css",
            "console.js",
            "flareward.svg",
            "htmx.js",
            "parts.css",
            "tabler.css",
            "theme.js",
            "uplot.css",
            "uplot.js",
        ] {
            assert!(path(name).starts_with("/assets/"), "{name}");
        }
    }

    #[test]
    fn no_style_sheet_asks_for_anything_from_elsewhere() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".css")) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for place in text.split("url(").skip(1) {
                let place = place.trim_start_matches(['"', '\'']);
                assert!(
                    place.starts_with("picture-") || place.starts_with('#'),
                    "{}: {}",
                    asset.name,
                    &place[..place.len().min(60)]
                );
            }
        }
    }
}
