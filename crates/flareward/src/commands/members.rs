//! `flareward members`, `access-users`, `grants`: their lists, and what can be done with them.

use super::change::{
    self, CreateAccessUserArgs, InviteArgs, PeopleInConnection, RevokeSessionsArgs, SetPoliciesArgs,
    SetRolesArgs,
};
use super::lists::{self, ByConnection, GrantArgs};
use crate::Global;
use crate::output::Printer;
use hub::provisioning::Request;
use std::process::ExitCode;

/// What to do with members.
#[derive(Debug, clap::Args)]
pub(crate) struct MembersArgs {
    #[command(subcommand)]
    action: MembersAction,
}

#[derive(Debug, clap::Subcommand)]
enum MembersAction {
    /// List them
    List(ByConnection),
    /// Invite someone into an account
    Invite(InviteArgs),
    /// Take invitations back
    CancelInvitation(PeopleInConnection),
    /// Give a member exactly these roles
    SetRoles(SetRolesArgs),
    /// Give a member exactly these policies, in place of roles
    SetPolicies(SetPoliciesArgs),
    /// Remove members from an account
    Remove(PeopleInConnection),
}

/// What to do with Access users.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessUsersArgs {
    #[command(subcommand)]
    action: AccessUsersAction,
}

#[derive(Debug, clap::Subcommand)]
enum AccessUsersAction {
    /// List them
    List(ByConnection),
    /// Make someone an Access user
    Create(CreateAccessUserArgs),
    /// Remove Access users; they come back with their next sign-in
    Remove(PeopleInConnection),
    /// Free the seats of Access users; they take them again with their next sign-in
    FreeSeats(PeopleInConnection),
    /// End every session of Access users
    RevokeSessions(RevokeSessionsArgs),
}

/// What to do with grants.
#[derive(Debug, clap::Args)]
pub(crate) struct GrantsArgs {
    #[command(subcommand)]
    action: GrantsAction,
}

#[derive(Debug, clap::Subcommand)]
enum GrantsAction {
    /// List them
    List(GrantArgs),
    /// List grants for a time, with what could not be taken back
    Timed {
        /// Only of this person (address or id)
        #[arg(long)]
        person: Option<String>,
        /// Those that are over too
        #[arg(long)]
        all: bool,
    },
}

pub(crate) async fn members(args: MembersArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        MembersAction::List(filters) => lists::members(filters, global).await?,
        MembersAction::Invite(args) => return change::invite(args, global).await,
        MembersAction::SetRoles(args) => return change::set_roles(args, global).await,
        MembersAction::SetPolicies(args) => return change::set_policies(args, global).await,
        MembersAction::CancelInvitation(people) => {
            return change::each(people, global, |connection, email| Request::InvitationCancel {
                connection,
                email,
            })
            .await;
        }
        MembersAction::Remove(people) => {
            return change::each(people, global, |connection, email| Request::MemberRemove {
                connection,
                email,
            })
            .await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn access_users(args: AccessUsersArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.action {
        AccessUsersAction::List(filters) => lists::access_users(filters, global).await?,
        AccessUsersAction::Create(args) => return change::create_access_user(args, global).await,
        AccessUsersAction::RevokeSessions(args) => return change::revoke_sessions(args, global).await,
        AccessUsersAction::Remove(people) => {
            return change::each(people, global, |connection, email| Request::AccessUserRemove {
                connection,
                email,
            })
            .await;
        }
        AccessUsersAction::FreeSeats(people) => {
            return change::each(people, global, |connection, email| Request::SeatsFree {
                connection,
                email,
            })
            .await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn grants(args: GrantsArgs, global: &Global) -> anyhow::Result<()> {
    match args.action {
        GrantsAction::List(filters) => lists::grants(filters, global).await,
        GrantsAction::Timed { person, all } => {
            let app = crate::open(global).await?;
            let mut printer = Printer::new(global.output, change::TIMED);
            change::write_timed(&app, person.as_deref(), all, &mut printer).await?;
            printer.finish("No grants for a time")?;
            Ok(())
        }
    }
}
