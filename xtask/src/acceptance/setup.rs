//! What the acceptance wants of the machine, and how it gets there.

use crate::step::{Result, Step};
use crate::tools::{self, BARE, BOARD, Std};
use crate::workspace::{Workspace, in_ci};

/// Something that must be there.
struct Need {
    what: &'static str,
    there: fn(&Workspace) -> bool,
    from: Source,
}

/// Where it comes from.
enum Source {
    /// Packages of Debian and its descendants.
    Debian(&'static [&'static str]),
    /// A program on crates.io: arguments of `cargo install`.
    Crate(&'static str),
}

const NEEDS: [Need; 12] = [
    Need { what: "qemu-aarch64", there: |w| w.has("qemu-aarch64"), from: Source::Debian(&["qemu-user"]) },
    // It counts the host's own instructions, and only x86-64's are recorded.
    Need {
        what: "valgrind",
        there: |w| !cfg!(target_arch = "x86_64") || w.has("valgrind"),
        from: Source::Debian(&["valgrind"]),
    },
    Need {
        what: "Chromium",
        there: tools::has_browser,
        from: Source::Debian(&["chromium", "fonts-dejavu-core"]),
    },
    Need { what: "ffmpeg", there: |w| w.has("ffmpeg"), from: Source::Debian(&["ffmpeg"]) },
    Need { what: "lintian", there: |w| w.has("lintian"), from: Source::Debian(&["lintian"]) },
    Need {
        what: "an aarch64 linker and C library",
        there: tools::has_cross_linker,
        from: Source::Debian(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
    },
    Need {
        what: "the standard library for aarch64 Linux",
        there: |w| Std::for_board(w).is_some(),
        from: Source::Debian(&["rustc-web", "libstd-rust-web-dev:arm64", "libc6-dev:arm64"]),
    },
    // Debian has no libraries for bare metal, but their source.
    Need {
        what: "core for bare metal",
        there: |w| BARE.iter().all(|target| Std::for_bare(w, target).is_some()),
        from: Source::Debian(&["rust-web-src"]),
    },
    // Not optimised: each takes half the time to build, and has little to do.
    Need {
        what: "cargo-deb",
        there: |w| w.has("cargo-deb"),
        from: Source::Crate("cargo-deb --version 3.8.0 --debug --no-default-features"),
    },
    Need {
        what: "defmt-print",
        there: |w| w.has("defmt-print"),
        from: Source::Crate("defmt-print --version 1.2.0 --debug"),
    },
    Need {
        what: "mdbook",
        there: |w| w.has("mdbook"),
        from: Source::Crate("mdbook --version 0.5.4 --debug --no-default-features"),
    },
    Need { what: "cargo-deny", there: |w| w.has("cargo-deny"), from: Source::Crate("cargo-deny --debug") },
];

/// Installs what is missing, if it may, and fails with a list of what still is.
///
/// # Errors
///
/// Something is missing, or could not be installed.
pub(super) fn set_up(step: &mut Step<'_>, install: bool) -> Result {
    if install {
        // Targets cost little with rustup. Where it cannot fetch them, Debian can.
        let here = |found: Option<Std>| found == Some(Std::Default);
        let all_here = here(Std::for_board(step.workspace))
            && BARE.iter().all(|target| here(Std::for_bare(step.workspace, target)));
        if step.workspace.has("rustup") && !all_here {
            let mut add = step.workspace.command("rustup");
            if step.run(add.args(["target", "add", BOARD]).args(BARE)).is_err() {
                step.log("rustup cannot; Debian's packages may have them");
            }
        }
        install_packages(step)?;
        for need in missing(step.workspace) {
            if let Source::Crate(arguments) = need.from {
                let tools = step.workspace.target.join("tools");
                let mut install = step.workspace.cargo("install --locked");
                install.args(arguments.split(' ')).arg("--root").arg(&tools);
                // What the programs share is built once.
                step.run(install.env("CARGO_TARGET_DIR", step.workspace.target.join("defmt")))?;
            }
        }
    }
    let data = &step.workspace.data;
    if in_ci() && !data.is_dir() {
        return Err(format!("there are no images in {}; set RESNEXT_DATA", data.display()).into());
    }
    let missing: Vec<String> = missing(step.workspace).iter().map(|need| need.remedy()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let advice = if install { "" } else { "\n`cargo xtask acceptance --install` installs them" };
    Err(format!("missing:\n  {}{advice}", missing.join("\n  ")).into())
}

impl Need {
    fn remedy(&self) -> String {
        match self.from {
            Source::Debian(packages) => format!("{}: apt-get install {}", self.what, packages.join(" ")),
            Source::Crate(arguments) => format!("{}: cargo install --locked {arguments}", self.what),
        }
    }
}

fn missing(workspace: &Workspace) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.there)(workspace)).collect()
}

fn install_packages(step: &mut Step<'_>) -> Result {
    let mut packages: Vec<&str> = Vec::new();
    for need in missing(step.workspace) {
        if let Source::Debian(names) = need.from {
            packages.extend(names);
        }
    }
    if packages.is_empty() || !step.workspace.has("apt-get") {
        return Ok(());
    }
    let root = |program: &str| tools::as_root(step.workspace, program);
    let (mut add, mut update, mut install) = (root("dpkg"), root("apt-get"), root("env"));
    add.args(["--add-architecture", "arm64"]);
    update.arg("update");
    install
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"])
        .args(&packages);
    if packages.iter().any(|name| name.ends_with(":arm64")) {
        step.run(&mut add)?;
    }
    step.run(&mut update)?;
    step.run(&mut install)
}
