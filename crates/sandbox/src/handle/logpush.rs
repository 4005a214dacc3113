//! Functions for tests: inspect jobs, and simulate what Cloudflare does to jobs.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::handle::WorldHandle;
use crate::world::logpush_job::Job;
use crate::world::logs::AccessLogin;

impl WorldHandle {
    /// The Logpush jobs of a dataset as in the API, including destinations.
    #[must_use]
    pub fn logpush_jobs(&self, dataset: &str) -> Vec<Value> {
        let world = self.shared.world();
        let jobs = world.logpush_jobs.iter().filter(|job| job.dataset == dataset);
        jobs.map(Job::to_json).collect()
    }

    /// Sets the push history of a dataset's jobs: the last success, and the last failure with its message.
    pub fn logpush_history_set(
        &self,
        dataset: &str,
        last_complete: Option<DateTime<Utc>>,
        last_error: Option<(DateTime<Utc>, &str)>,
    ) {
        let mut world = self.shared.world();
        for job in world.logpush_jobs.iter_mut().filter(|job| job.dataset == dataset) {
            job.last_complete = last_complete;
            job.last_error = last_error.map(|(at, _)| at);
            job.error_message = last_error.map(|(_, message)| message.to_owned());
        }
    }

    /// Disables a dataset's jobs, as Cloudflare does after a day without success.
    pub fn logpush_disable(&self, dataset: &str) {
        let mut world = self.shared.world();
        for job in world.logpush_jobs.iter_mut().filter(|job| job.dataset == dataset) {
            job.enabled = false;
        }
    }

    /// Removes a dataset's jobs.
    pub fn logpush_remove(&self, dataset: &str) {
        self.shared
            .world()
            .logpush_jobs
            .retain(|job| job.dataset != dataset);
    }

    /// Adds a field to a dataset, as Cloudflare does several times a month. Its records do not contain the field.
    pub fn logpush_field_add(&self, dataset: &str, field: &str) {
        let added = (dataset.to_owned(), field.to_owned());
        self.shared.world().logpush_added_fields.push(added);
    }

    /// Removes a dataset from the account's plan.
    pub fn logpush_withhold(&self, dataset: &str) {
        self.shared.world().logpush_withheld.push(dataset.to_owned());
    }

    /// Whether Gateway excludes personal data from its logs.
    pub fn gateway_redacts_set(&self, redacts: bool) {
        self.shared.world().gateway_logging["redact_pii"] = Value::Bool(redacts);
    }

    /// Makes a person log in to an application, only for the pulled log.
    pub fn access_login_add(&self, email: &str, at: DateTime<Utc>, country: &str) {
        let mut world = self.shared.world();
        let (ray_id, user_id) = (world.ids.ray(), world.ids.uuid());
        world.access_logins.push(AccessLogin {
            at,
            allowed: true,
            app_domain: "wiki.tidewater.example".to_owned(),
            app_id: crate::ids::uuid_of("wiki"),
            connection: "okta",
            country: country.to_owned(),
            email: email.to_owned(),
            ip: "203.0.113.7".to_owned(),
            ray_id,
            user_id,
        });
    }

    /// The number of logins in the pulled log.
    #[must_use]
    pub fn access_login_count(&self) -> usize {
        self.shared.world().access_logins.len()
    }

    /// The number of changes in the account's audit log.
    #[must_use]
    pub fn audit_count(&self) -> usize {
        self.shared.world().audit.len()
    }
}
