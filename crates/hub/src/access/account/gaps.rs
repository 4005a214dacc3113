//! Why something that a rule asks is not known.

use super::Account;

impl Account {
    /// Why a Zero Trust list does not say whether someone is on it.
    pub(in crate::access) fn list_gap(&self, id: &str) -> String {
        match self.lists.get(id).and_then(|list| list.partial.as_ref()) {
            Some(reason) => format!("the email list {id}, which is incomplete ({reason})"),
            None => format!("the email list {id}, which could not be read"),
        }
    }

    /// Why it is not known whether someone is a member of an account.
    pub(in crate::access) fn member_gap(&self, account: Option<&str>) -> String {
        let account = account.unwrap_or(&self.account_id);
        let partial = self
            .known_accounts
            .get(account)
            .and_then(|connection| self.partial_members.get(connection));
        match partial {
            Some(reason) => {
                format!("membership of the account {account}, which has an incomplete member list ({reason})")
            }
            None => format!("membership of the Cloudflare account {account}, which is not connected"),
        }
    }
}
