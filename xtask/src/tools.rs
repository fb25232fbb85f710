//! What the machine has: compilers with a standard library for a target, emulators, a browser.

use crate::step::Result;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;

/// The target of boards that run Linux.
pub(crate) const BOARD: &str = "aarch64-unknown-linux-gnu";
/// The targets without an operating system that the runtime is built for.
pub(crate) const BARE: [&str; 2] = ["thumbv7em-none-eabihf", "aarch64-unknown-none"];
/// Emulated cores, oldest first: SMLAL, the same out of order, SDOT, and all that qemu knows, SMMLA included.
pub(crate) const CORES: [&str; 4] = ["cortex-a53", "cortex-a72", "cortex-a76", "max"];
/// Debian's compiler, for which Debian has the standard library for Arm where rustup cannot fetch it.
const DEBIAN: &str = "/usr/bin/rustc";
/// The standard library's source, from Debian's package rust-web-src.
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// Where the standard library for a target comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Std {
    /// The default compiler has it.
    Default,
    /// Debian's compiler has it.
    Debian,
    /// Debian's compiler builds it from Debian's source.
    DebianSource,
}

impl Std {
    /// Finds the standard library for the board.
    pub(crate) fn for_board(workspace: &Workspace) -> Option<Self> {
        if has_std(workspace, "rustc", BOARD) {
            return Some(Self::Default);
        }
        has_std(workspace, DEBIAN, BOARD).then_some(Self::Debian)
    }

    /// Finds the standard library, which is `core` alone, for a target without an operating system.
    pub(crate) fn for_bare(workspace: &Workspace, target: &str) -> Option<Self> {
        if has_std(workspace, "rustc", target) {
            return Some(Self::Default);
        }
        (PathBuf::from(DEBIAN_SOURCE).is_file() && workspace.has(DEBIAN)).then_some(Self::DebianSource)
    }

    /// Builds a cargo command for a target with this standard library. Another compiler gets another target directory,
    /// since cargo would rebuild everything at each change between the two.
    pub(crate) fn cargo(self, workspace: &Workspace, arguments: &str) -> Command {
        let mut command = workspace.cargo(arguments);
        if self != Self::Default {
            command.env("RUSTC", DEBIAN).env("CARGO_TARGET_DIR", self.target(workspace));
        }
        if self == Self::DebianSource {
            command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core");
        }
        command
    }

    /// Returns the target directory of [`cargo`](Self::cargo).
    pub(crate) fn target(self, workspace: &Workspace) -> PathBuf {
        match self {
            Self::Default => workspace.target.clone(),
            Self::Debian | Self::DebianSource => workspace.target.join("debian"),
        }
    }
}

/// Returns the standard library for the board.
///
/// # Errors
///
/// There is none.
pub(crate) fn board(workspace: &Workspace) -> Result<Std> {
    Std::for_board(workspace)
        .ok_or_else(|| format!("no standard library for {BOARD}; rustup target add {BOARD}").into())
}

/// Returns where the build for the board puts the binary.
///
/// # Errors
///
/// There is no standard library for the board.
pub(crate) fn board_binary(workspace: &Workspace) -> Result<PathBuf> {
    Ok(board(workspace)?.target(workspace).join(BOARD).join("board/resnext"))
}

/// Returns whether `rustc` has the standard library for a target.
fn has_std(workspace: &Workspace, rustc: &str, target: &str) -> bool {
    let output = workspace.command(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let folder = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => return false,
    };
    std::fs::read_dir(folder).is_ok_and(|mut files| {
        files.any(|file| {
            file.is_ok_and(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                name.starts_with("libcore-") && name.ends_with(".rlib")
            })
        })
    })
}

/// Returns whether Chromium is there, which looks at reports and at the camera's preview.
pub(crate) fn has_browser(workspace: &Workspace) -> bool {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .any(|name| workspace.has(name))
}

/// Returns whether programs for the board can be linked.
pub(crate) fn has_cross_linker(workspace: &Workspace) -> bool {
    let output = workspace.command("aarch64-linux-gnu-gcc").arg("-print-file-name=libc.a").output();
    output.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"/"))
}

/// Returns whether a cargo subcommand is installed, such as `deny` or `miri`.
pub(crate) fn has_subcommand(workspace: &Workspace, arguments: &str) -> bool {
    workspace.cargo(arguments).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Builds a command that root runs, with sudo where this is somebody else.
pub(crate) fn as_root(workspace: &Workspace, program: &str) -> Command {
    let user = workspace.command("id").arg("-u").output();
    if user.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        return workspace.command(program);
    }
    let mut command = workspace.command("sudo");
    command.args(["-n", program]);
    command
}

/// How to get what [`has_nightly`] looks for.
pub(crate) const NIGHTLY_REMEDY: &str =
    "rustup toolchain install nightly --profile minimal -c miri -c rust-src";

/// Returns whether there is a nightly compiler with Miri and the standard library's source.
pub(crate) fn has_nightly(workspace: &Workspace) -> bool {
    // rustup would fetch what is missing, which is the user's to decide.
    let list = workspace
        .command("rustup")
        .args(["component", "list", "--toolchain", "nightly", "--installed"])
        .output();
    list.is_ok_and(|list| {
        let text = String::from_utf8_lossy(&list.stdout);
        let has = |component: &str| text.lines().any(|line| line.starts_with(component));
        list.status.success() && has("miri") && has("rust-src")
    })
}

/// Returns whether rustup has a toolchain whose name begins so.
pub(crate) fn has_toolchain(workspace: &Workspace, name: &str) -> bool {
    let list = workspace.command("rustup").args(["toolchain", "list"]).output();
    list.is_ok_and(|list| String::from_utf8_lossy(&list.stdout).lines().any(|line| line.starts_with(name)))
}

/// Returns the host's target, for the architectures that sanitizers run on.
pub(crate) fn host() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}
