//! The small files in which Linux describes the machine.

use std::path::{Path, PathBuf};

/// A tree of such files. Elsewhere than on Linux there is none, so nothing is found.
pub(crate) struct Sysfs(PathBuf);

impl Sysfs {
    /// This machine's.
    pub(crate) fn system() -> Self {
        Self::at(Path::new("/sys"))
    }

    /// One that a test has made.
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// What a file says; `None` if it is missing or unreadable, which is common, or says nothing.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(path)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The number in a file.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// What a file says about a CPU.
    pub(crate) fn cpu_text(&self, cpu: u16, file: &str) -> Option<String> {
        self.text(&format!("devices/system/cpu/cpu{cpu}/{file}"))
    }

    /// The number in a file about a CPU.
    pub(crate) fn cpu_number(&self, cpu: u16, file: &str) -> Option<u64> {
        self.number(&format!("devices/system/cpu/cpu{cpu}/{file}"))
    }

    /// The paths of what a directory contains, in the order of their names.
    pub(crate) fn entries(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join(directory)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut paths: Vec<_> = names.map(|name| format!("{directory}/{name}")).collect();
        paths.sort_unstable();
        paths
    }
}

/// A tree that a test makes up.
#[cfg(test)]
pub(crate) struct Fake(tempfile::TempDir);

#[cfg(test)]
impl Fake {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn sysfs(&self) -> Sysfs {
        Sysfs::at(self.0.path())
    }

    /// Writes a file, with a newline at its end as the kernel does.
    pub(crate) fn write(&self, path: &str, text: impl std::fmt::Display) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Writes the same file for each of some CPUs.
    pub(crate) fn cpus(&self, cpus: impl IntoIterator<Item = u16>, file: &str, text: impl std::fmt::Display) {
        for cpu in cpus {
            self.write(&format!("devices/system/cpu/cpu{cpu}/{file}"), &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_if_they_say_something() {
        let fake = Fake::new();
        fake.cpus([3], "cpu_capacity", 414);
        fake.cpus([3], "cpufreq/scaling_governor", "ondemand");
        fake.cpus([3], "empty", "");
        let sysfs = fake.sysfs();
        assert_eq!(sysfs.cpu_number(3, "cpu_capacity"), Some(414));
        assert_eq!(sysfs.cpu_text(3, "cpufreq/scaling_governor").as_deref(), Some("ondemand"));
        assert_eq!(sysfs.cpu_number(3, "cpufreq/scaling_governor"), None);
        assert_eq!(
            (sysfs.cpu_text(3, "empty"), sysfs.cpu_text(3, "cpufreq"), sysfs.cpu_text(4, "x")),
            <_>::default()
        );
        let cpu = "devices/system/cpu/cpu3";
        let expected = ["cpu_capacity", "cpufreq", "empty"].map(|name| format!("{cpu}/{name}"));
        assert_eq!(sysfs.entries(cpu), expected);
        assert!(sysfs.entries("class/thermal").is_empty());
    }
}
