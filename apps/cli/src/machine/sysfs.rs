//! The small files in which Linux describes a machine, such as those below `/sys`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A directory tree of such files. On other systems than Linux it is empty.
pub(crate) struct Sysfs(PathBuf);

impl Sysfs {
    /// Opens the tree of this machine.
    pub(crate) fn system() -> Self {
        Self::at(Path::new("/sys"))
    }

    /// Opens the tree below `root`.
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Returns the text of a file, or `None` if the file is missing, unreadable or empty, all of which are common.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        File::open(self.0.join(path)).ok()?.take(MAX_TEXT).read_to_string(&mut text).ok()?;
        // Strings of a device tree end with a NUL.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    /// Returns whether the file or directory exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Returns the number in a file.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Returns the text of a file about a CPU.
    pub(crate) fn cpu_text(&self, cpu: u16, file: &str) -> Option<String> {
        self.text(&format!("devices/system/cpu/cpu{cpu}/{file}"))
    }

    /// Returns the number in a file about a CPU.
    pub(crate) fn cpu_number(&self, cpu: u16, file: &str) -> Option<u64> {
        self.number(&format!("devices/system/cpu/cpu{cpu}/{file}"))
    }

    /// Returns the paths of the entries of a directory, sorted by name.
    pub(crate) fn entries(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join(directory)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut paths: Vec<_> = names.map(|name| format!("{directory}/{name}")).collect();
        paths.sort_unstable();
        paths
    }
}

/// The most bytes that are read from a file. The longest such file is `/proc/cpuinfo` of a server.
const MAX_TEXT: u64 = 4 << 20;

/// A file that stays open and is read repeatedly without allocating.
pub(crate) struct Gauge(File);

impl Gauge {
    /// Opens a file. Returns `None` if that fails.
    pub(crate) fn open(sysfs: &Sysfs, path: &str) -> Option<Self> {
        File::open(sysfs.0.join(path)).ok().map(Self)
    }

    /// Reads the number in the file, or `None` if the file does not contain a number now.
    pub(crate) fn number(&self) -> Option<i64> {
        self.read(|text| text.parse().ok())
    }

    /// Reads the hexadecimal number in the file, with or without `0x`.
    pub(crate) fn hexadecimal(&self) -> Option<u32> {
        self.read(hexadecimal)
    }

    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let mut text = [0; 32];
        let len = read_from_start(&self.0, &mut text).ok()?;
        parse(std::str::from_utf8(text.get(..len)?).ok()?.trim())
    }
}

/// Parses a hexadecimal number, with or without `0x`.
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

/// A tree of files that a test writes.
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

    /// Writes a file that ends with a newline, as the kernel's files do.
    pub(crate) fn write(&self, path: &str, text: impl std::fmt::Display) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }

    /// Writes the same file for each of the `cpus`.
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
    fn files_are_read_unless_they_are_empty() {
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
