//! The machine that the checks examine.

use crate::machine::cpu_list::CpuList;
use crate::machine::identity;
use crate::machine::sysfs::Sysfs;
use std::path::Path;

/// A machine as its files describe it.
pub(super) struct Machine {
    /// The files below `/`.
    pub(super) files: Sysfs,
    /// The files below `/sys`.
    pub(super) sysfs: Sysfs,
    /// The instruction set of the kernels that would run.
    pub(super) isa: &'static str,
    /// The architecture that this program was built for.
    pub(super) arch: &'static str,
    /// Returns whether this process may read and write a file.
    accessible: fn(&Path) -> bool,
}

/// Why a device cannot be used, and what to do about it.
pub(super) struct Refused {
    pub(super) why: String,
    pub(super) remedy: String,
}

impl Machine {
    pub(super) fn new(
        root: &Path,
        isa: &'static str,
        arch: &'static str,
        accessible: fn(&Path) -> bool,
    ) -> Self {
        Self { files: Sysfs::at(root), sysfs: Sysfs::at(&root.join("sys")), isa, arch, accessible }
    }

    /// Returns the name of the board, from the device tree or from the firmware of a PC.
    pub(super) fn board(&self) -> Option<String> {
        identity::board(&self.files)
    }

    pub(super) fn is_raspberry_pi(&self) -> bool {
        self.board().is_some_and(|board| board.contains("Raspberry Pi"))
    }

    pub(super) fn is_jetson(&self) -> bool {
        self.files.has("etc/nv_tegra_release") || self.board().is_some_and(|board| board.contains("Jetson"))
    }

    /// Returns the CPUs that are online; empty if the machine does not say.
    pub(super) fn cpus(&self) -> CpuList {
        self.cpu_list("online").unwrap_or_else(|| {
            let numbers = self.cpuinfo("processor").into_iter().filter_map(|number| number.parse().ok());
            numbers.collect()
        })
    }

    /// Returns a list of CPUs, such as `online`.
    pub(super) fn cpu_list(&self, name: &str) -> Option<CpuList> {
        self.sysfs.text(&format!("devices/system/cpu/{name}"))?.parse().ok()
    }

    /// Returns the values of a name in `/proc/cpuinfo`, one for each CPU.
    pub(super) fn cpuinfo(&self, name: &str) -> Vec<String> {
        identity::cpuinfo(&self.files, name)
    }

    /// Returns whether `/proc/cpuinfo` describes a CPU that cannot run this program. This happens in user-mode emulators
    /// (qemu-aarch64), which show the machine that they run on. Arm kernels name the implementer of a CPU, x86 kernels its
    /// vendor.
    pub(super) fn emulated(&self) -> bool {
        let says = |name| !self.cpuinfo(name).is_empty();
        match self.arch {
            "aarch64" | "arm" => says("vendor_id") && !says("CPU implementer"),
            "x86_64" | "x86" => says("CPU implementer") && !says("vendor_id"),
            _ => false,
        }
    }

    /// Returns the value of a name in `/proc/meminfo` in bytes.
    pub(super) fn meminfo(&self, name: &str) -> Option<u64> {
        let text = self.files.text("proc/meminfo")?;
        let (_, value) =
            text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name)?;
        let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// Returns the numbers of a name in `/proc/self/status`.
    fn status(&self, name: &str) -> Vec<u32> {
        let text = self.files.text("proc/self/status").unwrap_or_default();
        let values = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect()
    }

    /// Returns the effective user of this process.
    pub(super) fn user_id(&self) -> Option<u32> {
        self.status("Uid").get(1).copied()
    }

    /// Returns the name of the effective user of this process.
    pub(super) fn user(&self) -> Option<String> {
        let id = self.user_id()?.to_string();
        let text = self.files.text("etc/passwd")?;
        let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        users.find_map(|user| (user.get(2) == Some(&id.as_str())).then(|| user[0].to_owned()))
    }

    /// Returns the first group for which `is_it` is true.
    fn group(&self, is_it: impl Fn(&str, u32) -> bool) -> Option<Group> {
        let text = self.files.text("etc/group")?;
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, id, members) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let id = id.parse().ok()?;
            let members = members.split(',').map(str::to_owned).collect();
            is_it(name, id).then(|| Group { name: name.to_owned(), id, members })
        })
    }

    /// Returns whether this process belongs to a group, or `None` if there is no such group or nothing is known.
    pub(super) fn is_in_group(&self, name: &str) -> Option<bool> {
        let group = self.group(|other, _| other == name)?;
        let ids = [self.status("Groups"), self.status("Gid")].concat();
        (!ids.is_empty()).then(|| ids.contains(&group.id))
    }

    /// Says why a device in `/dev` cannot be read and written. Returns `None` if it can.
    pub(super) fn refused(&self, device: &str) -> Option<Refused> {
        let path = self.files.path(&format!("dev/{device}"));
        if (self.accessible)(&path) {
            return None;
        }
        if !path.exists() {
            return Some(Refused {
                why: format!("/dev/{device} is missing"),
                remedy: format!(
                    "load its driver; in a container, pass the device through: docker run --device /dev/{device}"
                ),
            });
        }
        let why = format!("no permission to read and write /dev/{device}");
        let (group_id, mode) = owner(&path).unwrap_or((0, 0));
        if mode & 0o060 != 0o060 {
            return Some(Refused { why, remedy: format!("sudo chmod g+rw /dev/{device}") });
        }
        let group = self.group(|_, id| id == group_id);
        let name = group.as_ref().map_or("video", |group| &group.name);
        let joined =
            || self.user().is_some_and(|user| group.iter().any(|group| group.members.contains(&user)));
        let remedy = match self.is_in_group(name) {
            Some(true) => {
                format!("give this process access, for example with docker run --device /dev/{device}")
            }
            _ if joined() => {
                format!("log out and in again, because you joined group {name} after you logged in")
            }
            _ => format!("sudo usermod -aG {name} $USER, then log out and in again"),
        };
        Some(Refused { why, remedy })
    }
}

struct Group {
    name: String,
    id: u32,
    members: Vec<String>,
}

/// Returns the group and the mode of a file.
#[cfg(unix)]
fn owner(path: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| (metadata.gid(), metadata.mode()))
}

#[cfg(not(unix))]
fn owner(_: &Path) -> Option<(u32, u32)> {
    None
}

/// Returns whether the system lets this process read and write a file. The check does not open the file, because that can
/// switch a camera on.
#[cfg(target_os = "linux")]
pub(super) fn accessible(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn accessible(path: &Path) -> bool {
    path.exists()
}
