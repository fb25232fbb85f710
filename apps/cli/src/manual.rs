//! Manual pages and shell completions, made from what `--help` says: `RESNEXT_MANUAL=FOLDER resnext`.
//!
//! Not a verb, because the pages describe all verbs and this is in no package.

use clap::Command;
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

/// The folder to write to, if that is what this program is run for.
pub(crate) fn wanted() -> Option<PathBuf> {
    env::var_os("RESNEXT_MANUAL").map(PathBuf::from)
}

/// Writes pages to `man/`, completions of Bash, Zsh and fish beside it.
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
    // `resnext help` is not worth pages.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "resnext", folder)?;
    }
    Ok(())
}
