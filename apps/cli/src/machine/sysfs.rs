//! The small files in which Linux describes the machine.

use std::fs::File;
use std::io::{self, Read};
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
        let mut text = String::new();
        File::open(self.0.join(path)).ok()?.take(MOST_TEXT).read_to_string(&mut text).ok()?;
        // A device tree ends its strings with a NUL.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether there is a file or directory.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Where a file lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
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

/// More than such a file says; `/proc/cpuinfo` of a server is the longest.
const MOST_TEXT: u64 = 4 << 20;

/// A file that is kept open and read again and again, without allocating.
pub(crate) struct Gauge(File);

impl Gauge {
    /// Opens a file; `None` if that is impossible.
    pub(crate) fn open(sysfs: &Sysfs, path: &str) -> Option<Self> {
        File::open(sysfs.0.join(path)).ok().map(Self)
    }

    /// The number that the file says now; `None` if it says something else or nothing.
    pub(crate) fn number(&self) -> Option<i64> {
        self.read(|text| text.parse().ok())
    }

    /// The hexadecimal number that the file says now, with or without `0x`.
    pub(crate) fn hexadecimal(&self) -> Option<u32> {
        self.read(hexadecimal)
    }

    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let mut text = [0; 32];
        let len = read_from_start(&self.0, &mut text).ok()?;
        parse(std::str::from_utf8(text.get(..len)?).ok()?.trim())
    }
}

/// A hexadecimal number, with or without `0x`.
pub(crate) fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(unix)]
fn read_from_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, 0)
}

#[cfg(not(unix))]
fn read_from_start(_: &File, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
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

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
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

    #[test]
    fn gauges_follow_the_file() {
        let fake = Fake::new();
        assert!(Gauge::open(&fake.sysfs(), "temp").is_none());
        fake.write("temp", 48_300);
        let gauge = Gauge::open(&fake.sysfs(), "temp").unwrap();
        assert_eq!(gauge.number(), Some(48_300));
        fake.write("temp", -7);
        assert_eq!(gauge.number(), Some(-7));
        assert_eq!(gauge.hexadecimal(), None);
        for (text, value) in [("50005", Some(0x50005)), ("0x50005", Some(0x50005)), ("", None), ("no", None)]
        {
            fake.write("temp", text);
            assert_eq!(gauge.hexadecimal(), value, "{text}");
        }
        fake.write("temp", "9".repeat(1000));
        assert_eq!((gauge.number(), gauge.hexadecimal()), (None, None));
        std::fs::write(fake.root().join("temp"), [0xff; 40]).unwrap();
        assert_eq!(gauge.number(), None);
        fake.write("folder/file", "");
        assert_eq!(Gauge::open(&fake.sysfs(), "folder").and_then(|folder| folder.number()), None);
    }

    #[test]
    fn text_ends_where_a_device_tree_ends_it() {
        let fake = Fake::new();
        std::fs::write(fake.root().join("model"), b"Raspberry Pi 5\0").unwrap();
        assert_eq!(fake.sysfs().text("model").as_deref(), Some("Raspberry Pi 5"));
    }
}
