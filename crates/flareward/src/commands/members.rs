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

/// Subcommands of `members`.
#[derive(Debug, clap::Args)]
pub(crate) struct MembersArgs {
    #[command(subcommand)]
    action: MembersAction,
}

#[derive(Debug, clap::Subcommand)]
enum MembersAction {
    /// List all, with filters
    List(ByConnection),
    /// Invite a person to an account
    Invite(InviteArgs),
    /// Cancel invitations
    CancelInvitation(PeopleInConnection),
    /// Replace a member's roles with these roles
    SetRoles(SetRolesArgs),
    /// Replace a member's roles and policies with these policies
    SetPolicies(SetPoliciesArgs),
    /// Remove members from an account
    Remove(PeopleInConnection),
}

/// Subcommands of `access-users`.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessUsersArgs {
    #[command(subcommand)]
    action: AccessUsersAction,
}

#[derive(Debug, clap::Subcommand)]
enum AccessUsersAction {
    /// List all, with filters
    List(ByConnection),
    /// Create an Access user
    Create(CreateAccessUserArgs),
    /// Remove Access users; their next sign-in creates them again
    Remove(PeopleInConnection),
    /// Free the seats of Access users; their next sign-in takes a seat again
    FreeSeats(PeopleInConnection),
    /// Revoke all sessions of Access users
    RevokeSessions(RevokeSessionsArgs),
}

/// Subcommands of `grants`.
#[derive(Debug, clap::Args)]
pub(crate) struct GrantsArgs {
    #[command(subcommand)]
    action: GrantsAction,
}

#[derive(Debug, clap::Subcommand)]
enum GrantsAction {
    /// List all, with filters
    List(GrantArgs),
    /// List timed grants, including expired grants that could not be revoked
    Timed {
        /// Only for this person (email address or ID)
        #[arg(long)]
        person: Option<String>,
        /// Include ended grants
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
            printer.finish("No timed grants")?;
            Ok(())
        }
    }
}
