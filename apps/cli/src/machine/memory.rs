//! The memory that this process uses.

/// Returns the most physical memory that this process has used so far, in bytes, or `None` if the system does not say.
///
/// On Linux this is `VmHWM`. It includes the whole model.
pub(crate) fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    high_water_mark(&status)
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
    }

    #[test]
    fn anything_else_is_unknown() {
        for status in ["", "VmHWM:", "VmHWM: many kB", "VmHWM: 5 MB", "VmHWM: 18446744073709551615 kB"] {
            assert_eq!(high_water_mark(status), None, "{status}");
        }
    }
}
