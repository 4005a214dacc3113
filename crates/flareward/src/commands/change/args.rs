//! The arguments of the commands that change access.

use chrono::TimeDelta;
use hub::provisioning::timed;

/// Options to preview or confirm a change.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Agreement {
    /// Show the plan without applying it
    #[arg(long, conflicts_with = "yes")]
    pub(super) plan: bool,
    /// Apply the change without asking for confirmation
    #[arg(long)]
    pub(super) yes: bool,
    /// Reason, recorded in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// The person and the group or role to grant.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["group", "role"])))]
pub(crate) struct GrantChangeArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(super) person: String,
    /// Access group (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    pub(super) group: Option<String>,
    /// Account role (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    pub(super) role: Option<String>,
    /// Connection; required if the name exists in several connections
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    /// Expire the grant after this time, for example 30m, 8h or 7d. Without this option, a new grant never expires
    /// and an existing grant keeps its expiry
    #[arg(long = "for", value_name = "TIME", value_parser = time_span)]
    pub(super) lasts: Option<TimeDelta>,
    /// Remove the expiry of an existing grant
    #[arg(long, conflicts_with = "lasts")]
    pub(super) permanent: bool,
    /// Allow an email address that no connection lists yet
    #[arg(long)]
    pub(super) new_person: bool,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The person and the group or role to revoke.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["group", "role"])))]
pub(crate) struct RevokeArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(super) person: String,
    /// Access group (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    pub(super) group: Option<String>,
    /// Account role (ID or exact name)
    #[arg(long, value_name = "ID|NAME")]
    pub(super) role: Option<String>,
    /// Connection; required if the name exists in several connections
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    /// Exclude the person by email address if a wider rule or a nested group admits them
    #[arg(long, conflicts_with = "role")]
    pub(super) exclude: bool,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The person to offboard.
#[derive(Debug, clap::Args)]
pub(crate) struct OffboardArgs {
    /// Person (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(super) person: String,
    /// Also remove the Access user, not only the seats
    #[arg(long)]
    pub(super) remove_access_user: bool,
    /// Exclude the person by email address from groups whose wider rules admit them
    #[arg(long)]
    pub(super) exclude: bool,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// People in one connection.
#[derive(Debug, clap::Args)]
pub(crate) struct PeopleInConnection {
    /// Person (email address or ID); repeatable
    #[arg(long = "person", value_name = "EMAIL|ID", required = true)]
    pub(super) people: Vec<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The person to invite.
#[derive(Debug, clap::Args)]
pub(crate) struct InviteArgs {
    /// Email address
    #[arg(long, value_name = "EMAIL")]
    pub(super) email: String,
    /// Role (ID or exact name); repeatable
    #[arg(long = "role", value_name = "ID|NAME", required = true)]
    pub(super) roles: Vec<String>,
    /// Connection of the account
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The member and their new roles.
#[derive(Debug, clap::Args)]
pub(crate) struct SetRolesArgs {
    /// Member (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(super) person: String,
    /// Role (ID or exact name); repeatable
    #[arg(long = "role", value_name = "ID|NAME", required = true)]
    pub(super) roles: Vec<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The member and their new policies.
#[derive(Debug, clap::Args)]
pub(crate) struct SetPoliciesArgs {
    /// Member (email address or ID)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(super) person: String,
    /// File with a JSON array of policies; each has access, permission_groups and resource_groups, with IDs
    #[arg(long, value_name = "FILE")]
    pub(super) file: std::path::PathBuf,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The Access user to create.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateAccessUserArgs {
    /// Email address
    #[arg(long, value_name = "EMAIL")]
    pub(super) email: String,
    /// Display name
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Connection
    #[arg(long, value_name = "LABEL")]
    pub(super) connection: Option<String>,
    #[command(flatten)]
    pub(super) agreement: Agreement,
}

/// The people whose sessions to revoke.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeSessionsArgs {
    #[command(flatten)]
    pub(super) people: PeopleInConnection,
    /// Also revoke device sessions
    #[arg(long)]
    pub(super) devices: bool,
}

/// Reads `30m`, `8h`, `7d`.
fn time_span(text: &str) -> Result<TimeDelta, String> {
    let understood = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        match unit {
            "m" => TimeDelta::try_minutes(number),
            "h" => TimeDelta::try_hours(number),
            "d" => TimeDelta::try_days(number),
            _ => None,
        }
    };
    match understood() {
        Some(span) if span <= timed::LONGEST => Ok(span),
        Some(_) => Err(format!("the maximum is {} days", timed::LONGEST.num_days())),
        None => Err("use a number followed by m, h or d, for example 8h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(time_span("8h"), Ok(TimeDelta::hours(8)));
        assert_eq!(time_span("30m"), Ok(TimeDelta::minutes(30)));
        for bad in ["", "h", "8", "-1h", "0d", "8w", "99999999999999d", "400d", "8µ"] {
            assert!(time_span(bad).is_err(), "{bad}");
        }
    }
}
