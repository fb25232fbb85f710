//! The fast CPUs of a machine that also has slow ones.

use super::cpu_list::CpuList;
use super::sysfs::Sysfs;
use std::cmp::Reverse;

/// Two CPUs that are neighbours in the order of speed are of different kinds if their speeds differ by this factor or more.
///
/// CPUs of one kind may differ a little: the big cores of an RK3588 have capacities of 1024 and about 1000, and the fastest core
/// of a Snapdragon has 1024 where its three siblings have 871. Kinds differ much more: by 2.5 from the Cortex-A55 of the RK3588
/// (414), by 2.6 from that of the Snapdragon, and by 1.6 even from a Cortex-A53 that is clocked as high as the Cortex-A73 beside
/// it. A Raspberry Pi or a Jetson Orin has CPUs of one kind and speed.
const KINDS_DIFFER: f64 = 1.25;

/// Returns the fastest kind among the `allowed` CPUs, or `None` if they are all of one kind or nothing is known of them.
///
/// The speeds are the capacities that the kernel's scheduler uses, or else the maximum clocks. The widest step between two
/// neighbours separates the kinds, so that a CPU a little faster than its siblings does not count as a kind of its own.
pub(crate) fn big_cores(sysfs: &Sysfs, allowed: &CpuList) -> Option<CpuList> {
    // All CPUs need the same scale, because a capacity and a clock cannot be compared.
    let speeds = |file: &str| -> Option<Vec<(u16, u64)>> {
        let speed = |cpu| sysfs.cpu_number(cpu, file).filter(|&speed| speed > 0).map(|speed| (cpu, speed));
        allowed.iter().map(speed).collect()
    };
    let mut speeds = speeds("cpu_capacity").or_else(|| speeds("cpufreq/cpuinfo_max_freq"))?;
    speeds.sort_by_key(|&(_, speed)| Reverse(speed));
    let steps = speeds.iter().zip(speeds.iter().skip(1)).map(|(fast, slow)| fast.1 as f64 / slow.1 as f64);
    let (last, widest) = steps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (widest >= KINDS_DIFFER).then(|| speeds.iter().take(last + 1).map(|&(cpu, _)| cpu).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn the_big_cores_of_an_rk3588() {
        let fake = Fake::new();
        fake.cpus(0..4, "cpu_capacity", 414);
        fake.cpus(4..8, "cpu_capacity", 1024);
        let big = |allowed: &str| big_cores(&fake.sysfs(), &list(allowed));
        assert_eq!(big("0-7"), Some(list("4-7")));
        // Only CPUs that are online and allowed count.
        assert_eq!(big("0-5"), Some(list("4-5")));
        assert_eq!(big("2,7"), Some(list("7")));
        assert_eq!((big("0-3"), big("4-7"), big("5")), (None, None, None));
        // The CPUs of the second cluster are a little slower than those of the first.
        fake.cpus(6..8, "cpu_capacity", 995);
        assert_eq!(big("0-7"), Some(list("4-7")));
    }

    #[test]
    fn other_mixed_machines() {
        let big = |capacities: &[u64]| {
            let fake = Fake::new();
            for (cpu, capacity) in (0..).zip(capacities) {
                fake.cpus([cpu], "cpu_capacity", capacity);
            }
            big_cores(&fake.sysfs(), &(0..capacities.len() as u16).collect()).map(|cpus| cpus.to_string())
        };
        // Snapdragon: its fastest CPU would be alone if only CPUs of equal capacity counted.
        assert_eq!(big(&[377, 377, 377, 377, 871, 871, 871, 1024]).as_deref(), Some("4-7"));
        assert_eq!(big(&[300, 300, 760, 760, 760, 1024]).as_deref(), Some("2-5"));
        // Amlogic S922X: Cortex-A53 at a higher clock than the Cortex-A73.
        assert_eq!(big(&[623, 623, 1024, 1024, 1024, 1024]).as_deref(), Some("2-5"));
        // RK3399, whose big cores come last, and a machine whose big cores come first.
        assert_eq!(big(&[381, 381, 381, 381, 1024, 1024]).as_deref(), Some("4-5"));
        assert_eq!(big(&[1024, 1024, 446, 446, 446, 446]).as_deref(), Some("0-1"));
        // Turbo clocks that differ from core to core do not make kinds.
        assert_eq!(big(&[1024, 1009, 980, 960, 871]), None);
    }

    #[test]
    fn cpus_alike_are_left_alone() {
        // Raspberry Pi 4 and 5, Jetson Orin.
        let fake = Fake::new();
        fake.cpus(0..4, "cpu_capacity", 1024);
        fake.cpus(0..4, "cpufreq/cpuinfo_max_freq", 2_400_000);
        assert_eq!(big_cores(&fake.sysfs(), &list("0-3")), None);
    }

    #[test]
    fn clocks_count_where_capacities_are_missing() {
        let fake = Fake::new();
        assert_eq!(big_cores(&fake.sysfs(), &list("0-5")), None, "nothing is known");
        fake.cpus(0..4, "cpufreq/cpuinfo_max_freq", 1_416_000);
        assert_eq!(big_cores(&fake.sysfs(), &list("0-5")), None, "two are unknown");
        fake.cpus(4..6, "cpufreq/cpuinfo_max_freq", 1_800_000);
        assert_eq!(big_cores(&fake.sysfs(), &list("0-5")), Some(list("4-5")));
        fake.cpus(0..3, "cpu_capacity", 1024);
        assert_eq!(big_cores(&fake.sysfs(), &list("0-5")), Some(list("4-5")), "the scales do not mix");
        fake.cpus(3..6, "cpu_capacity", 0);
        assert_eq!(big_cores(&fake.sysfs(), &list("0-5")), Some(list("4-5")), "0 is no capacity");
    }
}
