//! What a request is planned and made with: its connection, the client of it, and how it was asked for.
//!
//! Reads people and their access from the store, and from Cloudflare whose credential it is. Writes nothing.

use super::{Options, ProvisionError};
use crate::access::subject::Subject;
use crate::access::{self, AccessView};
use crate::app::App;
use cloudflare::{AccountId, Client, CloudflareError};
use model::PersonId;
use store::{ConnectionRow, StoreError};

/// What planning and making a request need.
pub(super) struct RequestContext<'a> {
    pub(super) app: &'a App,
    pub(super) connection: &'a ConnectionRow,
    pub(super) account: AccountId,
    pub(super) client: Client,
    pub(super) options: &'a Options,
    /// Whether the change was sent before in this run: then only what is left is looked at.
    pub(super) has_written: bool,
}

/// A person, as rules see them, and whether any list has them.
pub(super) struct Known {
    pub(super) subject: Subject,
    pub(super) is_known: bool,
}

impl<'a> RequestContext<'a> {
    /// Opens the connection that a request names.
    pub(super) fn new(
        app: &'a App,
        connection: &'a ConnectionRow,
        options: &'a Options,
    ) -> Result<Self, ProvisionError> {
        let account = AccountId::parse(&connection.account_id).ok_or_else(|| {
            ProvisionError::Id(CloudflareError::Unusable(
                "the stored account ID is invalid".to_owned(),
            ))
        })?;
        Ok(Self {
            app,
            connection,
            account,
            client: app.client(connection)?,
            options,
            has_written: false,
        })
    }
}

impl RequestContext<'_> {
    pub(super) fn failed(&self, source: CloudflareError) -> ProvisionError {
        ProvisionError::Cloudflare {
            label: self.connection.label.clone(),
            source,
        }
    }

    pub(super) async fn subject(&self, email: &str) -> Result<Known, ProvisionError> {
        let Some(person) = self.app.store.person_by_email(email).await? else {
            return Ok(Known {
                subject: Subject {
                    person_id: PersonId(String::new()),
                    email: email.into(),
                    further: Vec::new(),
                    members: Vec::new(),
                    users: Vec::new(),
                },
                is_known: false,
            });
        };
        let scope = access::Scope::Roles(self.connection.id.clone());
        let view = AccessView::of_person(self.app, &person, &scope).await?;
        let mut subject = view
            .people
            .into_iter()
            .next()
            .ok_or(StoreError::Gone("the person"))?;
        let is_listed = !subject.members.is_empty() || !subject.users.is_empty();
        if !subject.has_address(email) {
            subject.further.push(email.into());
        }
        Ok(Known {
            subject,
            is_known: is_listed,
        })
    }

    /// Whose credential this connection has, where Cloudflare says so.
    pub(super) async fn credential_owner(&self) -> Option<String> {
        if self.connection.credential_kind == model::CredentialKind::GlobalKey {
            return self.connection.credential_email.clone();
        }
        if self.connection.credential_kind == model::CredentialKind::AccountToken {
            return None;
        }
        let user = self.client.user().await.ok();
        user.and_then(|user| user["email"].as_str().map(str::to_owned))
            .or_else(|| self.connection.credential_owner.clone())
    }
}
