//! Parses `destination_conf` and uploads to it.
//!
//! `header_*` parameters become headers of the request and are removed from the URL; the others stay. Uploads go only
//! to this machine, unless the configuration allows other hosts.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::reach::is_this_machine;
use crate::shared::Shared;

/// The content of a job's test upload.
const TEST_CONTENT: &str = "{\"content\":\"tests\"}";
/// The maximum number of characters of a refusal in the job's error.
const SHOWN_OF_BODY: usize = 200;

/// The destination of batches.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    url: Url,
    headers: HeaderMap,
}

impl Destination {
    /// # Errors
    ///
    /// Why the destination cannot be used, in Cloudflare's wording.
    pub(crate) fn parse(destination_conf: &str, allow_any: bool) -> Result<Self, String> {
        if destination_conf.len() > 4096 {
            return Err("destination_conf is longer than 4096 characters".to_owned());
        }
        let given = Url::parse(destination_conf)
            .map_err(|error| format!("destination_conf is not a URL: {error}"))?;
        if !["http", "https"].contains(&given.scheme()) {
            return Err(format!(
                "the sandbox uploads to http and https only, not to {}",
                given.scheme()
            ));
        }
        if !is_this_machine(&given) && !allow_any {
            return Err("the sandbox uploads to this machine only".to_owned());
        }
        let mut url = given.clone();
        url.set_query(None);
        let mut headers = HeaderMap::new();
        for (key, value) in given.query_pairs() {
            match key.strip_prefix("header_") {
                Some(name) => {
                    let name =
                        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{key} is no header"))?;
                    let value =
                        HeaderValue::from_str(&value).map_err(|_| format!("{key} has no header's value"))?;
                    headers.insert(name, value);
                }
                None => {
                    url.query_pairs_mut().append_pair(&key, &value);
                }
            }
        }
        Ok(Self { url, headers })
    }

    /// The upload `test.txt.gz`, which tests that a destination accepts logs.
    pub(crate) async fn test(&self, shared: &Shared) -> Result<(), String> {
        let uploaded = self.upload(shared, TEST_CONTENT).await;
        uploaded.map_err(|why| format!("error validating destination: error writing object: {why}"))
    }

    /// Uploads one compressed batch. Any status except 2xx is an error that contains the response.
    pub(crate) async fn upload(&self, shared: &Shared, text: &str) -> Result<(), String> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = gzip
            .write_all(text.as_bytes())
            .and_then(|()| gzip.finish())
            .map_err(|error| error.to_string())?;
        let scheme = self.url.scheme();
        let failed = |error: reqwest::Error| format!("error uploading to {scheme}: {}", error.without_url());
        let mut request = shared
            .http
            .post(self.url.clone())
            .header(CONTENT_ENCODING, "gzip");
        if !self.headers.contains_key(CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, "text/plain");
        }
        let response = request
            .headers(self.headers.clone())
            .body(packed)
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body: String = response
            .text()
            .await
            .unwrap_or_default()
            .chars()
            .take(SHOWN_OF_BODY)
            .collect();
        let status = status.as_u16();
        Err(format!(
            "error {status}: error pushing: error uploading to {scheme}: {status} {body}"
        ))
    }
}
