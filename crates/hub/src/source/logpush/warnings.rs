//! What keeps records back before a job could push them, in words for whoever looks at a source.

use cloudflare::{AccountId, Client, LogpushJob};
use serde_json::Value;

/// Datasets that the metadata boundary of the EU kept back in 2024. Source: Cloudflare's documentation.
const OUTSIDE_BOUNDARY: &[&str] = &[
    "access_requests",
    "audit_logs",
    "casb_findings",
    "device_posture_results",
];

/// What of the account decides how much its jobs can push.
pub(super) struct Surroundings {
    /// `None` when it may not be read.
    logging: Option<Value>,
    boundary: Option<String>,
}

impl Surroundings {
    pub(super) async fn read(client: &Client, account: &AccountId) -> Surroundings {
        Surroundings {
            logging: client.gateway_logging(account).await.ok(),
            boundary: client.metadata_boundary(account).await.ok().flatten(),
        }
    }

    pub(super) fn warnings(&self, dataset: &str, job: Option<&LogpushJob>) -> Vec<String> {
        let mut warnings = Vec::new();
        let kind = match dataset {
            "gateway_dns" => Some("dns"),
            "gateway_http" => Some("http"),
            "gateway_network" | "zero_trust_network_sessions" => Some("l4"),
            _ => None,
        };
        if let (Some(logging), Some(kind)) = (&self.logging, kind) {
            if logging["redact_pii"] == true {
                warnings.push(
                    "Gateway's logging settings exclude personal data: the records contain no user and \
                         cannot be matched to people (Zero Trust > Settings > Network > Exclude PII)"
                        .to_owned(),
                );
            }
            let settings = &logging["settings_by_rule_type"][kind];
            match (settings["log_all"].as_bool(), settings["log_blocks"].as_bool()) {
                (Some(false), Some(false)) => {
                    warnings.push(format!("Gateway's logging settings log nothing for {kind}"));
                }
                (Some(false), _) => warnings.push(format!(
                    "Gateway's logging settings log only blocked {kind} requests"
                )),
                _ => {}
            }
        }
        if let Some(regions) = self
            .boundary
            .as_deref()
            .filter(|_| OUTSIDE_BOUNDARY.contains(&dataset))
        {
            warnings.push(format!(
                "the Customer Metadata Boundary ({regions}) may prevent this dataset from being pushed"
            ));
        }
        let other = job.map(|job| &job.other);
        if other.is_some_and(|job| job.get("filter").and_then(Value::as_str).is_some_and(is_filter)) {
            warnings.push("the job has a filter: not all records are pushed".to_owned());
        }
        let rate = other.and_then(|job| job.get("output_options")?.get("sample_rate")?.as_f64());
        if rate.is_some_and(|rate| rate > 0.0 && rate < 1.0) {
            warnings.push("the job samples records: not all records are pushed".to_owned());
        }
        warnings
    }
}

fn is_filter(text: &str) -> bool {
    let parsed: Value = serde_json::from_str(text).unwrap_or_default();
    parsed["where"].as_object().is_some_and(|rules| !rules.is_empty())
}
