//! The book's page on the command line, `docs/src/reference/cli.md`, as `--help` has it.
//!
//! The page is committed so that it can be read where the repository is hosted. The test below holds it against the
//! command line; with `RESNEXT_BLESS` set it writes the page instead.

use crate::Cli;
use clap::{Arg, Command, CommandFactory};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const INTRODUCTION: &str = "\
# Command line

<!-- Generated from `resnext --help`. To write it anew: RESNEXT_BLESS=1 cargo test --workspace --bin resnext reference -->

This page has what `--help` says of each verb. The board binary leaves out `demo`, `compile` and `import`. Two features add
options: `defmt` adds `--defmt FILE` to `classify`, `camera` and `bench`, and `spi` adds `--spi PANEL` to `camera`.
";

/// Options that the page does not list, because a feature adds them.
const OF_FEATURES: [&str; 2] = ["defmt", "spi"];

#[test]
fn the_reference_agrees_with_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference/cli.md");
    let page = page();
    if env::var_os("RESNEXT_BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let committed = fs::read_to_string(&path).expect("the page is there");
    assert!(
        committed == page,
        "docs/src/reference/cli.md differs from what --help says; write it anew with \
         RESNEXT_BLESS=1 cargo test --workspace --bin resnext reference"
    );
}

fn page() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut page = INTRODUCTION.to_owned();
    for verb in cli.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        section(&mut page, verb);
    }
    page
}

fn section(page: &mut String, verb: &mut Command) {
    let _ = writeln!(page, "\n## resnext {}\n", verb.get_name());
    if let Some(about) = verb.get_long_about().or(verb.get_about()) {
        let _ = writeln!(page, "{}\n", prose(&about.to_string()));
    }
    let usage = verb.render_usage().to_string();
    let _ = writeln!(
        page,
        "```text\n{}\n```\n",
        usage.trim().trim_start_matches("Usage: ").replace("\n       ", "\n")
    );
    let elsewhere = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        id == "help" || argument.is_hide_set() || OF_FEATURES.contains(&id)
    };
    for argument in verb.get_arguments().filter(|argument| !elsewhere(argument)) {
        option(page, argument);
    }
    if let Some(after) = verb.get_after_long_help().or(verb.get_after_help()) {
        after.to_string().trim_end().split("\n\n").for_each(|text| paragraph(page, text));
    }
}

/// A paragraph below the options: a block of code if spaces align or indent its lines.
fn paragraph(page: &mut String, text: &str) {
    let _ = if text.contains("  ") {
        writeln!(page, "\n```text\n{text}\n```")
    } else {
        writeln!(page, "\n{}", prose(text))
    };
}

/// An item of the list: what is typed, what it does, which values there are.
fn option(page: &mut String, argument: &Arg) {
    let mut names: Vec<String> = argument.get_short().map(|short| format!("-{short}")).into_iter().collect();
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let values: Vec<String> = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .unwrap_or_default()
        .iter()
        .map(|name| if argument.is_positional() { name.to_string() } else { format!("<{name}>") })
        .collect();
    let typed = match (names.is_empty(), values.is_empty()) {
        (true, _) => values.join(" "),
        (false, true) => names.join(", "),
        (false, false) => format!("{} {}", names.join(", "), values.join(" ")),
    };
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "* `{typed}`: {}", prose(&help).replace('\n', "\n  "));
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(page, " (default: `{}`)", defaults.join(" "));
    }
    page.push('\n');
    if argument.get_action().takes_values() {
        for value in argument.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
            let help =
                value.get_help().map(|help| format!(": {}", prose(&help.to_string()))).unwrap_or_default();
            let _ = writeln!(page, "  * `{}`{help}", value.get_name());
        }
    }
}

/// Text in which nothing is mark-up.
fn prose(text: &str) -> String {
    text.trim().replace('<', "\\<").replace('*', "\\*").replace('[', "\\[").replace('_', "\\_")
}
