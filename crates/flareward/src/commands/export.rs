//! `flareward export`: a list as a file.

use super::{lists, people};
use crate::Global;
use crate::output::{Format, Printer};
use anyhow::Context;
use clap::ValueEnum;
use std::io::BufWriter;
use std::path::PathBuf;

/// Which list, in which form, to which file.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The form of the file
    #[arg(value_enum)]
    form: Form,
    /// Which list
    #[arg(long, value_enum)]
    list: List,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum List {
    People,
    Members,
    AccessUsers,
    Groups,
    Roles,
    Grants,
    Events,
    Detections,
    Rejects,
}

pub(crate) async fn run(args: ExportArgs, global: &Global) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let format = match args.form {
        Form::Csv => Format::Csv,
        Form::Json => Format::Json,
        Form::Ndjson => Format::Ndjson,
    };
    let columns = match args.list {
        List::People => people::COLUMNS,
        List::Members => lists::MEMBERS,
        List::AccessUsers => lists::ACCESS_USERS,
        List::Groups => lists::GROUPS,
        List::Roles => lists::ROLES,
        List::Grants => lists::GRANTS,
        List::Events => lists::EVENTS,
        List::Detections => lists::DETECTIONS,
        List::Rejects => lists::REJECTS,
    };
    // Written beside and moved into place: an export that is interrupted leaves no half file under the name.
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(std::path::Path::new(".")))
        .with_context(|| format!("cannot write beside {}", args.file.display()))?;
    let mut printer = Printer::to(Box::new(BufWriter::new(beside.reopen()?)), format, columns);
    let everything = lists::ByConnection::default();
    match args.list {
        List::People => people::write(&app, &people::PersonArgs::default(), &mut printer).await?,
        List::Members => lists::write_members(&app, &everything, &mut printer).await?,
        List::AccessUsers => lists::write_access_users(&app, &everything, &mut printer).await?,
        List::Groups => lists::write_groups(&app, &everything, &mut printer).await?,
        List::Roles => lists::write_roles(&app, &everything, &mut printer).await?,
        List::Grants => lists::write_grants(&app, &lists::GrantArgs::default(), &mut printer).await?,
        List::Events => lists::write_events(&app, &lists::EventArgs::default(), &mut printer).await?,
        List::Detections => {
            lists::write_detections(&app, &lists::DetectionArgs::default(), &mut printer).await?;
        }
        List::Rejects => lists::write_rejects(&app, &everything, &mut printer).await?,
    }
    let rows = printer.finish("")?;
    beside
        .persist(&args.file)
        .with_context(|| format!("cannot write {}", args.file.display()))?;
    eprintln!("{rows} rows in {}", args.file.display());
    Ok(())
}
