//! `flareward completions` and `flareward man`: what a shell and `man` know of the command line.

use crate::output::{Format, text_only};
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::PathBuf;

/// The shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For example: flareward completions bash > ~/.local/share/bash-completion/completions/flareward"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The destination.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Folder to write one man page per command to; without it, the main man page is printed
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions<C: CommandFactory>(args: &CompletionsArgs, format: Format) -> anyhow::Result<()> {
    text_only(format, "a completion script")?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "flareward", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(())
}

pub(crate) fn man<C: CommandFactory>(args: ManArgs, format: Format) -> anyhow::Result<()> {
    text_only(format, "a man page")?;
    let command = C::command().disable_help_subcommand(true);
    let Some(folder) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print!("{}", String::from_utf8_lossy(&page));
        return Ok(());
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    clap_mangen::generate_to(command, &folder)
        .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
    eprintln!(
        "man pages written to {}; to read one, run: man -l {}/flareward.1",
        folder.display(),
        folder.display()
    );
    Ok(())
}
