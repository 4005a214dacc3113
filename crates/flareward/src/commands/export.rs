//! `flareward export`: lists as files, and one connection's state as a file for programs of governance.

use super::{lists, people};
use crate::output::{Format, Printer};
use crate::progress::ProgressBar;
use crate::sheet::Book;
use crate::{Global, Usage};
use anyhow::{Context, bail};
use clap::ValueEnum;
use hub::App;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Which lists, in which form, to where.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The form of the files
    #[arg(value_enum)]
    form: Form,
    /// Which lists, separated by commas; `all` is what says who may do what, without logs, and what --dir and xlsx
    /// take unless told; everything else takes `grants`
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    list: Vec<Choice>,
    /// The file to write; one list goes to standard output without it
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    file: Option<PathBuf>,
    /// The folder to write a file for each list to
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Of which connection, for c1z; not needed when there is only one
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Json,
    Ndjson,
    /// A spreadsheet, one sheet for each list
    Xlsx,
    /// One connection's state for programs that speak Baton; the file keeps the export before, to compare
    C1z,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    All,
    People,
    Members,
    AccessUsers,
    Groups,
    Roles,
    Grants,
    Apps,
    Policies,
    IdentityProviders,
    ServiceTokens,
    AccountTokens,
    UserGroups,
    Events,
    Detections,
    Rejects,
}

/// A list that can be written.
#[derive(Clone, Copy, PartialEq)]
struct List {
    name: &'static str,
    columns: &'static [&'static str],
    what: Choice,
}

/// What someone has to have who wants to know who may do what.
const ALL: [Choice; 12] = [
    Choice::People,
    Choice::Members,
    Choice::AccessUsers,
    Choice::Groups,
    Choice::Roles,
    Choice::Grants,
    Choice::Apps,
    Choice::Policies,
    Choice::IdentityProviders,
    Choice::ServiceTokens,
    Choice::AccountTokens,
    Choice::UserGroups,
];

pub(crate) async fn run(args: ExportArgs, global: &Global) -> anyhow::Result<()> {
    if global.output != Format::Table {
        return Err(Usage("the first argument of export is the form: leave -o out".to_owned()).into());
    }
    if matches!(args.form, Form::C1z) {
        let Some(file) = args.file else {
            bail!("c1z is one file: say --file FILE");
        };
        if !args.list.is_empty() {
            bail!("c1z holds everything of a connection: leave --list out");
        }
        return baton(global, args.connection.as_deref(), &file).await;
    }
    if args.connection.is_some() {
        bail!("--connection is for c1z; lists are of all connections");
    }
    let mut chosen = args.list;
    if chosen.is_empty() {
        let has_room = args.dir.is_some() || matches!(args.form, Form::Xlsx);
        chosen.push(if has_room { Choice::All } else { Choice::Grants });
    }
    let mut what = Vec::new();
    for list in chosen.into_iter().flat_map(lists_of) {
        if !what.contains(&list) {
            what.push(list);
        }
    }
    let (format, ending) = match args.form {
        Form::Csv => (Format::Csv, "csv"),
        Form::Json => (Format::Json, "json"),
        Form::Ndjson => (Format::Ndjson, "ndjson"),
        Form::Xlsx => {
            let Some(file) = args.file else {
                bail!("a spreadsheet is one file: say --file FILE");
            };
            return spreadsheet(&crate::open(global).await?, &what, &file).await;
        }
        // Done above.
        Form::C1z => return Ok(()),
    };
    match (what.as_slice(), args.dir, args.file) {
        (lists, Some(folder), _) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let app = crate::open(global).await?;
            for list in lists {
                to_file(
                    &app,
                    *list,
                    format,
                    &folder.join(format!("{}.{ending}", list.name)),
                )
                .await?;
            }
        }
        ([list], None, Some(file)) => to_file(&crate::open(global).await?, *list, format, &file).await?,
        ([list], None, None) => {
            let mut printer = Printer::new(format, list.columns);
            write(&crate::open(global).await?, *list, &mut printer).await?;
            printer.finish("")?;
        }
        (_, None, _) => bail!("{ending} holds one list in a file: say --dir FOLDER for several"),
    }
    Ok(())
}

async fn to_file(app: &App, list: List, format: Format, file: &Path) -> anyhow::Result<()> {
    let beside = beside(file)?;
    let mut printer = Printer::to(Box::new(BufWriter::new(beside.reopen()?)), format, list.columns);
    write(app, list, &mut printer).await?;
    let rows = printer.finish("")?;
    put(beside, file)?;
    eprintln!("{rows} rows in {}", file.display());
    Ok(())
}

async fn spreadsheet(app: &App, lists: &[List], file: &Path) -> anyhow::Result<()> {
    let beside = beside(file)?;
    let mut book = Book::new(app.clock.now().timestamp())?;
    let mut rows = 0;
    for list in lists {
        let mut printer = Printer::Sheet(book.sheet(list.name, list.columns)?);
        write(app, *list, &mut printer).await?;
        if let Printer::Sheet(sheet) = printer {
            rows += sheet.rows();
            book.add(sheet);
        }
    }
    book.write(BufWriter::new(beside.reopen()?))?;
    put(beside, file)?;
    eprintln!("{rows} rows on {} sheets in {}", lists.len(), file.display());
    Ok(())
}

/// Writes one connection's state, and says what was not written because it is not certain.
async fn baton(global: &Global, wanted: Option<&str>, file: &Path) -> anyhow::Result<()> {
    let app = crate::open(global).await?;
    let row = super::connection(&app, wanted).await?;
    let bar = ProgressBar::new(None, false);
    bar.set_message("people");
    let show = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let report = hub::baton::export::export(&app, &row, file, &show).await?;
    bar.finish_and_clear();
    let done = &report.finished;
    eprintln!(
        "{} resources, {} entitlements and {} grants of {} in {}",
        done.resources,
        done.entitlements,
        done.grants,
        row.label,
        file.display()
    );
    if report.conditional + report.unknown > 0 {
        eprintln!(
            "left out: {} grants that depend on the moment of access and {} that cannot be known; each group, role and \
             application has the counts and its rules in its profile",
            report.conditional, report.unknown
        );
    }
    match &done.kept {
        Some(before) => eprintln!("the file keeps the export before, {before}"),
        None => eprintln!("the file had no export before"),
    }
    for problem in &report.refused {
        eprintln!("not written: {problem}");
    }
    Ok(())
}

/// What goes to `file` is written beside and moved into place: an export that is interrupted leaves no half file
/// under the name.
fn beside(file: &Path) -> anyhow::Result<NamedTempFile> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write beside {}", file.display()))
}

fn put(beside: NamedTempFile, file: &Path) -> anyhow::Result<()> {
    beside
        .persist(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

fn lists_of(choice: Choice) -> Vec<List> {
    let (name, columns) = match choice {
        Choice::All => return ALL.into_iter().flat_map(lists_of).collect(),
        Choice::People => ("people", people::COLUMNS),
        Choice::Members => ("members", lists::MEMBERS),
        Choice::AccessUsers => ("access-users", lists::ACCESS_USERS),
        Choice::Groups => ("groups", lists::GROUPS),
        Choice::Roles => ("roles", lists::ROLES),
        Choice::Grants => ("grants", lists::GRANTS),
        Choice::Apps => ("apps", lists::OBJECTS),
        Choice::Policies => ("policies", lists::OBJECTS),
        Choice::IdentityProviders => ("identity-providers", lists::OBJECTS),
        Choice::ServiceTokens => ("service-tokens", lists::OBJECTS),
        Choice::AccountTokens => ("account-tokens", lists::OBJECTS),
        Choice::UserGroups => ("user-groups", lists::OBJECTS),
        Choice::Events => ("events", lists::EVENTS),
        Choice::Detections => ("detections", lists::DETECTIONS),
        Choice::Rejects => ("rejects", lists::REJECTS),
    };
    vec![List {
        name,
        columns,
        what: choice,
    }]
}

async fn write(app: &App, list: List, printer: &mut Printer) -> anyhow::Result<()> {
    let everything = lists::ByConnection::default();
    match list.what {
        // `lists_of` has put its lists in its place.
        Choice::All => Ok(()),
        Choice::People => people::write(app, &people::PersonArgs::default(), printer).await,
        Choice::Members => lists::write_members(app, &everything, printer).await,
        Choice::AccessUsers => lists::write_access_users(app, &everything, printer).await,
        Choice::Groups => lists::write_groups(app, &everything, printer).await,
        Choice::Roles => lists::write_roles(app, &everything, printer).await,
        Choice::Grants => lists::write_grants(app, &lists::GrantArgs::default(), printer).await,
        Choice::Apps => lists::write_objects(app, "apps", &everything, printer).await,
        Choice::Policies => lists::write_objects(app, "policies", &everything, printer).await,
        Choice::IdentityProviders => {
            lists::write_objects(app, "identity_providers", &everything, printer).await
        }
        Choice::ServiceTokens => lists::write_objects(app, "service_tokens", &everything, printer).await,
        Choice::AccountTokens => lists::write_objects(app, "account_tokens", &everything, printer).await,
        Choice::UserGroups => lists::write_objects(app, "user_groups", &everything, printer).await,
        Choice::Events => lists::write_events(app, &lists::EventArgs::default(), printer).await,
        Choice::Detections => lists::write_detections(app, &lists::DetectionArgs::default(), printer).await,
        Choice::Rejects => lists::write_rejects(app, &everything, printer).await,
    }
}
