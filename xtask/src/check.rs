//! What any laptop can check with Rust and a C compiler, without root.

use crate::step::{Plan, Result, Step};
use crate::tools::{self, BARE, BOARD, Std};
use crate::workspace::in_ci;
use crate::{inventory, links, manifests, paths};

/// The feature set of the host: everything but `defmt`, whose records need a logger that only the command line has. Fuzz
/// targets are linked by `cargo fuzz` alone.
pub(crate) const HOST: [&str; 5] =
    ["--workspace", "--exclude", "resnext-fuzz", "--features", "resnext-cli/spi"];
/// All code with every feature, to be checked and not linked.
const ALL: &str = "--workspace --all-features";

/// Lists the steps. What takes seconds comes first.
pub(crate) fn steps() -> Vec<Plan> {
    vec![
        Plan::essential("set up", set_up),
        Plan::new("format", format),
        Plan::new("unsafe inventory", inventory::check),
        Plan::new("links", links::check),
        Plan::new("paths in documentation", paths::check),
        Plan::new("oldest compiler", manifests::oldest_compiler),
        Plan::new("packages for crates.io", manifests::packages),
        Plan::new("licences and sources of dependencies", deny),
        Plan::new("clippy", clippy),
        Plan::new("documentation", documentation),
        Plan::new("tests", tests),
        Plan::new("tests as on a board", board_tests),
        Plan::new("examples", examples),
        Plan::new("book", book),
    ]
}

fn set_up(step: &mut Step<'_>) -> Result {
    let workspace = step.workspace;
    if !workspace.has("cc") {
        return Err("a C compiler is missing; apt-get install gcc libc6-dev".into());
    }
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if tools::has_subcommand(workspace, command) {
            continue;
        }
        if !workspace.has("rustup") {
            return Err(format!(
                "{component} is missing; without rustup, it comes from where cargo comes from"
            )
            .into());
        }
        step.run(workspace.command("rustup").args(["component", "add", component]))?;
    }
    if !workspace.data.is_dir() {
        let missing = format!("there are no images in {}", workspace.data.display());
        if in_ci() {
            return Err(format!("{missing}; set RESNEXT_DATA").into());
        }
        step.note(format!("{missing}: accuracy tests are skipped"));
    }
    for (tool, there) in [("Chromium", tools::has_browser(workspace)), ("ffmpeg", workspace.has("ffmpeg"))] {
        if !there {
            step.note(format!(
                "{tool} is missing: its tests are skipped; `cargo xtask acceptance` runs them"
            ));
        }
    }
    Ok(())
}

fn format(step: &mut Step<'_>) -> Result {
    step.cargo("fmt --all --check")?;
    step.cargo("fmt --manifest-path tests/defmt/Cargo.toml --check")
}

/// Lints everything that is built anywhere, the fuzz targets included. The first `cargo clippy` sees all code but what stands
/// for a feature that is off, and what is compiled for other machines.
fn clippy(step: &mut Step<'_>) -> Result {
    // A call of what the oldest compiler lacks is a warning by default.
    let deny = " -- -D warnings";
    step.cargo(&format!("clippy {ALL} --all-targets{deny}"))?;
    step.cargo(&format!("clippy -p resnext-cli --no-default-features{deny}"))?;
    if Std::for_board(step.workspace) == Some(Std::Default) {
        step.cargo(&format!("clippy -p resnext --features tract --target {BOARD}{deny}"))?;
    }
    if Std::for_bare(step.workspace, BARE[0]) == Some(Std::Default) {
        step.cargo(&format!("clippy -p resnext --no-default-features --target {}{deny}", BARE[0]))?;
    }
    Ok(())
}

fn documentation(step: &mut Step<'_>) -> Result {
    // The lints have checked the dependencies with these features.
    let mut doc = step.workspace.cargo(&format!("doc --no-deps {ALL}"));
    step.run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))?;
    // The page that docs.rs shows first is that for boards.
    if Std::for_board(step.workspace) == Some(Std::Default) {
        let board =
            format!("doc -p resnext --no-deps --all-features --document-private-items --target {BOARD}");
        step.run(step.workspace.cargo(&board).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    }
    Ok(())
}

/// Runs every test of the host, those in the documentation included.
fn tests(step: &mut Step<'_>) -> Result {
    let mut test = step.workspace.cargo("test --no-fail-fast");
    test.args(HOST);
    if !tools::has_browser(step.workspace) || !step.workspace.has("ffmpeg") {
        // In continuous integration, tests fail where they would be skipped. The acceptance runs these again.
        test.env_remove("CI");
    }
    step.run(&mut test)
}

/// Runs the tests of the command line as it is on a board: without its offline half, and with records. The workspace is
/// selected as for all tests, so that most dependencies have the same features and are not built again. The acceptance tests
/// the runtime without tract-linalg, on an emulated core.
fn board_tests(step: &mut Step<'_>) -> Result {
    let mut cli = step.workspace.cargo("test --no-fail-fast --no-default-features");
    cli.args(&HOST[..3]).args(["--features", "resnext-cli/defmt,resnext-cli/manual"]);
    step.run(cli.args(["--bin", "resnext", "--test", "cli", "--test", "evaluate", "--test", "camera"]))
}

/// Runs the runtime's examples as they are, on what they bring.
fn examples(step: &mut Step<'_>) -> Result {
    // The tests have built them with these features.
    let mut build = step.workspace.cargo("test --no-run --examples");
    step.run(build.args(HOST))?;
    for name in ["classify_photo", "camera_frames", "static_arena"] {
        let program = step.workspace.target.join("debug/examples").join(name);
        let said = step.output(&mut step.workspace.command(program))?;
        if !said.contains('%') {
            return Err(format!("{name} gives no probability").into());
        }
    }
    Ok(())
}

/// Checks the licences, versions and sources of all dependencies.
pub(crate) fn deny(step: &mut Step<'_>) -> Result {
    if !step.workspace.has("cargo-deny") {
        step.skip("cargo install --locked cargo-deny");
        return Ok(());
    }
    step.cargo("deny --workspace check bans licenses sources")
}

/// Builds the book. Its links are checked with those of all Markdown files.
pub(crate) fn book(step: &mut Step<'_>) -> Result {
    if !step.workspace.has("mdbook") {
        step.skip("cargo install --locked mdbook --no-default-features");
        return Ok(());
    }
    let output = step.workspace.target.join("book");
    step.run(step.workspace.command("mdbook").args(["build", "docs", "--dest-dir"]).arg(output))
}
