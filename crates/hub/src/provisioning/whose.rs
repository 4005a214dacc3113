//! Whose changes are asked for: a person by address or id, or an address that only changes know.
//!
//! A change may concern someone whom no list has: invited and not yet seen, or gone. Such an address is known by its
//! changes; one that nothing knows is nobody's, which is not the same as having no changes. Start reading at
//! [`whose`].

use crate::app::App;
use store::{AccessChangeFilter, StoreError};

/// The address to list changes and grants for a time by: the person's main one, or the one that was given when only
/// changes know it. `None`: nobody.
///
/// # Errors
///
/// When the store refuses.
pub async fn whose(app: &App, wanted: &str) -> Result<Option<String>, StoreError> {
    if let Some(person) = crate::people::one(app, wanted).await? {
        return Ok(Some(person.email));
    }
    let address = model::address::compared(wanted);
    let filter = AccessChangeFilter {
        email: Some(address.clone()),
        limit: 1,
        ..AccessChangeFilter::default()
    };
    let is_known = !app.store.access_change_list(&filter).await?.is_empty()
        || !app
            .store
            .timed_grant_list(Some(&address), true, 1)
            .await?
            .is_empty();
    Ok(is_known.then_some(address))
}
