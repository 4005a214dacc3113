//! Opens a place where objects lie: a bucket of S3, of R2 or of anything that speaks S3, or a local folder.
//!
//! Who typed the place decides how it is called: through the egress guard when it came in a command, directly when
//! the operator set it.

use crate::egress::{EgressError, EgressGuard};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientOptions, ObjectStore, local::LocalFileSystem};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// What stands for the day in a place.
pub(crate) const DATE: &str = "{DATE}";

/// Objects in a place.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// All of the bucket, or the folder before [`DATE`].
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// What the address of each object begins with, without a slash at its end.
    pub(crate) base: String,
    /// Below it: where the objects lie, perhaps with [`DATE`].
    pub(crate) prefix: String,
}

/// The keys of a bucket.
#[derive(Debug, Clone)]
pub struct BucketKeys {
    /// The id, which is no secret.
    pub id: String,
    /// The secret.
    pub secret: SecretString,
}

/// How to call the service of a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// `None`: the operator chose the address.
    pub(crate) guard: Option<&'a EgressGuard>,
    /// Whether the service may be called without encryption.
    pub(crate) allow_http: bool,
    /// The account whose R2 it is, when the place does not say.
    pub(crate) account_id: Option<&'a str>,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It is written in none of the ways that are known.
    #[error(
        "invalid location \"{0}\": use s3://bucket/path/{{DATE}}, r2://bucket/path/{{DATE}} or \
             file:///folder/{{DATE}}"
    )]
    Place(String),
    /// Keys do not belong into the address.
    #[error(
        "\"{0}\" must not contain keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass the \
             keys separately"
    )]
    Keys(String),
    /// There is no such folder.
    #[error("the folder {0} does not exist")]
    Folder(String),
    /// The service may not be called.
    #[error("the endpoint is not allowed")]
    Egress(#[from] EgressError),
    /// The service cannot be used.
    #[error("cannot use the bucket")]
    Object(#[from] object_store::Error),
}

/// Opens a place. Keys that are not given come from the environment, as the S3 tools have them.
///
/// # Errors
///
/// See [`BucketError`]; nothing is called yet.
pub(crate) fn open(
    place: &str,
    endpoint: Option<&str>,
    keys: Option<&BucketKeys>,
    caller: Caller<'_>,
) -> Result<Bucket, BucketError> {
    let wrong = || BucketError::Place(shown(place));
    if let Some(path) = place.strip_prefix("file://") {
        return folder(path).ok_or_else(wrong)?;
    }
    let (scheme, rest) = place.split_once("://").ok_or_else(wrong)?;
    if rest.contains(['?', '@', '#']) {
        return Err(BucketError::Keys(shown(place)));
    }
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || !matches!(scheme, "s3" | "r2") {
        return Err(wrong());
    }
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut builder = of_environment(variables, keys.is_some())
        .with_bucket_name(name)
        .with_allow_http(caller.allow_http);
    let endpoint = match (endpoint, scheme, caller.account_id) {
        (Some(endpoint), ..) => Some(endpoint.to_owned()),
        (None, "r2", Some(account)) => Some(format!("https://{account}.r2.cloudflarestorage.com")),
        _ => None,
    };
    if scheme == "r2" {
        if endpoint.is_none() && builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_none() {
            return Err(wrong());
        }
        builder = builder.with_region("auto");
    }
    if let Some(endpoint) = &endpoint {
        if let Some(guard) = caller.guard {
            guard.check_base(endpoint)?;
        }
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    if let Some(keys) = keys {
        builder = builder
            .with_access_key_id(&keys.id)
            .with_secret_access_key(keys.secret.expose_secret());
    }
    if let Some(guard) = caller.guard {
        builder = builder.with_http_connector(Guarded(guard.clone()));
    }
    Ok(Bucket {
        objects: Arc::new(builder.build()?),
        base: format!("{scheme}://{name}"),
        prefix: prefix.trim_matches('/').to_owned(),
    })
}

/// What the environment says of S3, as its tools have it. Beside keys that were given its own are no use, and the
/// token of its session would be shown to whoever is called.
fn of_environment(
    variables: impl Iterator<Item = (String, String)>,
    without_credentials: bool,
) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables.filter(|(name, _)| name.starts_with("AWS_")) {
        let Ok(key) = name.to_ascii_lowercase().parse() else {
            continue;
        };
        let is_credential = matches!(
            key,
            AmazonS3ConfigKey::AccessKeyId | AmazonS3ConfigKey::SecretAccessKey | AmazonS3ConfigKey::Token
        );
        if !(is_credential && without_credentials) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// A local folder: what comes before the day must be there.
fn folder(path: &str) -> Option<Result<Bucket, BucketError>> {
    if !path.starts_with('/') {
        return None;
    }
    let (root, prefix) = match path.find(DATE) {
        None => (path, ""),
        Some(at) => {
            let at = path[..at].rfind('/').unwrap_or(0);
            (&path[..at], path[at..].trim_matches('/'))
        }
    };
    let root = if root.is_empty() { "/" } else { root };
    if !Path::new(root).is_dir() {
        return Some(Err(BucketError::Folder(root.to_owned())));
    }
    Some(
        LocalFileSystem::new_with_prefix(root)
            .map(|objects| Bucket {
                objects: Arc::new(objects),
                base: format!("file://{}", root.trim_end_matches('/')),
                prefix: prefix.to_owned(),
            })
            .map_err(BucketError::from),
    )
}

/// A place without what may be a secret in it.
fn shown(place: &str) -> String {
    match Url::parse(place) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            let is_bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
            if is_bare || !place.contains('@') {
                url.into()
            } else {
                "the address".to_owned()
            }
        }
        Err(_) => place.split(['?', '#', '@']).next().unwrap_or_default().to_owned(),
    }
}

/// Calls through the egress guard, which looks at each address again when it connects.
#[derive(Debug)]
struct Guarded(EgressGuard);

impl HttpConnector for Guarded {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.http().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    fn opened(place: &str, endpoint: Option<&str>) -> Result<Bucket, BucketError> {
        let guard = EgressGuard::new(settings::Egress::default()).unwrap();
        let caller = Caller {
            guard: Some(&guard),
            allow_http: false,
            account_id: Some("0123456789abcdef0123456789abcdef"),
        };
        let keys = BucketKeys {
            id: "id".to_owned(),
            secret: "secret".into(),
        };
        open(place, endpoint, Some(&keys), caller)
    }

    #[test]
    fn places_are_read_and_keys_in_them_are_refused_unseen() {
        let bucket = opened("s3://logs/zt/dns/{DATE}", None).unwrap();
        assert_eq!(
            (bucket.base.as_str(), bucket.prefix.as_str()),
            ("s3://logs", "zt/dns/{DATE}")
        );
        let bucket = opened("r2://logs/", None).unwrap();
        assert!(bucket.prefix.is_empty());
        for wrong in [
            "logs/zt",
            "gs://logs/zt",
            "s3://",
            "file://relative/{DATE}",
            "file:///there-is-no-such-folder/{DATE}",
            "s3://logs/zt?access-key-id=AKIA1&secret-access-key=hidden",
            "s3://AKIA1:hidden@logs/zt",
        ] {
            let error = opened(wrong, None).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
        }
    }

    #[test]
    fn the_session_of_the_environment_does_not_go_with_keys_that_were_given() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "theirs"),
            ("AWS_SESSION_TOKEN", "session"),
            ("AWS_REGION", "eu-central-1"),
            ("HOME", "/"),
        ];
        for (without, token) in [(true, None), (false, Some("session".to_owned()))] {
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let builder = of_environment(variables.into_iter(), without);
            assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::Token), token);
            let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
            assert_eq!(region.as_deref(), Some("eu-central-1"));
        }
    }

    #[test]
    fn a_typed_endpoint_passes_the_egress_guard() {
        for endpoint in [
            "http://storage.example",
            "https://127.0.0.1:9000",
            "https://169.254.169.254",
        ] {
            let error = opened("s3://logs/x", Some(endpoint)).unwrap_err();
            assert!(matches!(error, BucketError::Egress(_)), "{endpoint}: {error}");
        }
        opened("s3://logs/x", Some("https://storage.example")).unwrap();
    }
}
