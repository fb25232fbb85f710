//! Manual pages and shell completions, generated from the text of `--help`: `RESNEXT_MANUAL=FOLDER resnext`.
//!
//! This is an environment variable and not a verb, because the pages describe every verb and no package ships the generator.

use clap::Command;
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

/// Returns the folder to write to, if this run is to write the manual.
pub(crate) fn wanted() -> Option<PathBuf> {
    env::var_os("RESNEXT_MANUAL").map(PathBuf::from)
}

/// Writes the pages to `man/` and the completions for Bash, Zsh and fish beside it.
pub(crate) fn write(folder: &Path, command: Command) -> ExitCode {
    match write_files(folder, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::terminal::output::note(format_args!("{}: cannot write: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn write_files(folder: &Path, mut command: Command) -> io::Result<()> {
    let pages = folder.join("man");
    fs::create_dir_all(&pages)?;
    // `resnext help` needs no pages.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "resnext", folder)?;
    }
    Ok(())
}
