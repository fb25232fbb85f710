//! On which CPUs to run, and on how many threads.
//!
//! Every thread is kept on the whole set of CPUs, as `taskset` does it, and not each on a CPU of its own: the
//! scheduler still moves a thread away from a CPU that an interrupt or another program needs. A step ends when
//! its last thread does, so one that had to wait where it is would hold up all the others.

use crate::error::Error;
use crate::machine::sysfs::Sysfs;
use crate::terminal::output::plural;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::thread;

/// Neighbours in the order of speed that differ by this factor or more are of different kinds.
///
/// Between the CPUs of one kind there may be small steps: those of an RK3588 bin at 1024 and about 1000, the
/// fastest of a Snapdragon at 1024 stands above three more at 871. Between kinds the step is wide: 2.5 to the
/// Cortex-A55 of the RK3588 (414), 2.6 to that of the Snapdragon, and 1.6 to a Cortex-A53 clocked as high as
/// its Cortex-A73. CPUs alike, as on a Raspberry Pi or Jetson Orin, have no step at all.
const KINDS_DIFFER: f64 = 1.25;

/// CPUs by number, written `0-3,6` as `taskset` and the kernel write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CpuList(BTreeSet<u16>);

impl CpuList {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// `CPU 0` or `CPUs 0-3`.
    pub(crate) fn named(&self) -> String {
        format!("CPU{} {self}", plural(self.len()))
    }
}

impl FromIterator<u16> for CpuList {
    fn from_iter<T: IntoIterator<Item = u16>>(cpus: T) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl Extend<u16> for CpuList {
    fn extend<T: IntoIterator<Item = u16>>(&mut self, cpus: T) {
        self.0.extend(cpus);
    }
}

/// What [`CpuList`] cannot be read from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAList;

impl fmt::Display for NotAList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a list of CPUs; write it as 0-3 or 0,2,4-5")
    }
}

impl std::error::Error for NotAList {}

impl FromStr for CpuList {
    type Err = NotAList;

    fn from_str(text: &str) -> Result<Self, NotAList> {
        // `parse` alone would take a sign.
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u16>().map_err(|_| NotAList),
            false => Err(NotAList),
        };
        let mut cpus = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(NotAList);
            }
            cpus.extend(first..=last);
        }
        Ok(cpus)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|&next| next == last + 1) {
                last = next;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// Threads, and the CPUs they are kept on.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// Threads, the calling one included.
    pub(crate) threads: usize,
    /// `None` if they may run anywhere.
    pub(crate) cpus: Option<CpuList>,
    /// The CPUs are the fastest of a machine that has slower ones too, and nobody asked for them.
    big: bool,
}

impl Placement {
    /// Does what `--threads` and `--cpus` say; `None` if they say nothing.
    ///
    /// Pins the calling thread, and with it all that it starts from now on: they inherit where it may run.
    pub(crate) fn chosen(threads: Option<u16>, cpus: Option<&CpuList>) -> Result<Option<Self>, Error> {
        if let Some(cpus) = cpus {
            pin(cpus)?;
        }
        let threads = threads.map(usize::from).or(cpus.map(CpuList::len));
        Ok(threads.map(|threads| Self { threads, cpus: cpus.cloned(), big: false }))
    }

    /// One thread for each of the fastest CPUs, which it pins the calling thread to if there are slower ones.
    ///
    /// A step waits for the slowest thread, and left alone the scheduler may put that on a little core.
    pub(crate) fn fastest() -> Self {
        let big = affinity::get().and_then(|allowed| big_cores(&Sysfs::system(), &allowed));
        // Where pinning is forbidden a run is slower, not wrong.
        let cpus = big.filter(|big| affinity::set(big).is_ok());
        Self { big: cpus.is_some(), cpus, ..Self::everywhere() }
    }

    /// One thread for each CPU.
    pub(crate) fn everywhere() -> Self {
        // Counts only the CPUs that this thread may run on, and no more than a container's quota.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Self { threads, cpus: None, big: false }
    }

    /// On no more than `most` threads.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { threads: self.threads.min(most), ..self }
    }

    /// The CPUs the threads may run on, pinned or not; empty if the system does not say.
    pub(crate) fn usable(&self) -> CpuList {
        self.cpus.clone().or_else(affinity::get).unwrap_or_default()
    }

    /// ` on CPUs 4-7 (big cores)`; nothing if that is up to the scheduler.
    pub(crate) fn on_cpus(&self) -> String {
        let Some(cpus) = &self.cpus else { return String::new() };
        let big = match (self.big, cpus.len()) {
            (false, _) => "",
            (true, 1) => " (big core)",
            (true, _) => " (big cores)",
        };
        format!(" on {}{big}", cpus.named())
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} thread{}{}", self.threads, plural(self.threads), self.on_cpus())
    }
}

/// Pins the calling thread to `cpus`, which were asked for.
fn pin(cpus: &CpuList) -> Result<(), Error> {
    let refused = |what: fmt::Arguments<'_>| Error::new(format_args!("--cpus {cpus}"), what);
    if !cfg!(target_os = "linux") {
        return Err(refused(format_args!("CPUs can be chosen on Linux only; use --threads")));
    }
    if let Some(allowed) = affinity::get()
        && let Some(why) = unusable(&Sysfs::system(), cpus, &allowed)
    {
        return Err(refused(format_args!("{why}; choose from {allowed}")));
    }
    affinity::set(cpus)
        .map_err(|error| refused(format_args!("the system refuses them: {error}; leave --cpus out")))
}

/// Why not all of `cpus` can be used; `None` if they can.
fn unusable(sysfs: &Sysfs, cpus: &CpuList, allowed: &CpuList) -> Option<String> {
    let refused = cpus.without(allowed);
    let missing = |file: &str| {
        let listed = sysfs.text(&format!("devices/system/cpu/{file}"))?.parse().ok()?;
        Some(refused.without(&listed)).filter(|missing| !missing.is_empty())
    };
    let (cpus, one, several) = if refused.is_empty() {
        return None;
    } else if let Some(absent) = missing("present") {
        (absent, "does not exist", "do not exist")
    } else if let Some(offline) = missing("online") {
        (offline, "is offline", "are offline")
    } else {
        (refused, "is not allowed to this process", "are not allowed to this process")
    };
    Some(format!("{} {}", cpus.named(), if cpus.len() == 1 { one } else { several }))
}

/// The fastest kind of the `allowed` CPUs; `None` if they are all of one kind or nothing is known.
///
/// By what the kernel's scheduler knows of them, or else by their clocks. The line is drawn where the step
/// from one to the next slower is widest, so that a single CPU a little above its siblings is not alone.
pub(crate) fn big_cores(sysfs: &Sysfs, allowed: &CpuList) -> Option<CpuList> {
    // One scale for all: a capacity and a clock cannot be compared.
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

#[cfg(target_os = "linux")]
mod affinity {
    use super::CpuList;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::io;

    /// The CPUs that the calling thread may run on; those that are offline are not among them.
    pub(super) fn get() -> Option<CpuList> {
        let set = sched_getaffinity(None).ok()?;
        Some((0..=u16::MAX).take(CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu.into())).collect())
    }

    /// Keeps the calling thread on `cpus`.
    pub(super) fn set(cpus: &CpuList) -> io::Result<()> {
        let mut set = CpuSet::new();
        for cpu in cpus.iter().map(usize::from) {
            if cpu >= CpuSet::MAX_CPU {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            set.set(cpu);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    use super::CpuList;
    use std::io;

    pub(super) fn get() -> Option<CpuList> {
        None
    }

    pub(super) fn set(_: &CpuList) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_as_taskset_reads_them() {
        let cases: [(&str, &[u16], &str); 6] = [
            ("0", &[0], "0"),
            ("0-3", &[0, 1, 2, 3], "0-3"),
            ("0,2,4-5", &[0, 2, 4, 5], "0,2,4-5"),
            ("7,4-6,5", &[4, 5, 6, 7], "4-7"),
            ("3,3-3", &[3], "3"),
            ("65535", &[65535], "65535"),
        ];
        for (text, cpus, written) in cases {
            assert_eq!(list(text), cpus.iter().copied().collect(), "{text}");
            assert_eq!(list(text).to_string(), written);
        }
        for text in
            ["", ",", "0,", "-1", "1-", "3-1", "0-1-2", "+1", "0x3", "a", "0 1", " 0", "65536", "0-3:2", "²"]
        {
            assert_eq!(text.parse::<CpuList>(), Err(NotAList), "{text:?}");
        }
    }

    #[test]
    fn the_big_cores_of_an_rk3588() {
        let fake = Fake::new();
        fake.cpus(0..4, "cpu_capacity", 414);
        fake.cpus(4..8, "cpu_capacity", 1024);
        let big = |allowed: &str| big_cores(&fake.sysfs(), &list(allowed));
        assert_eq!(big("0-7"), Some(list("4-7")));
        // Only what is online and allowed counts.
        assert_eq!(big("0-5"), Some(list("4-5")));
        assert_eq!(big("2,7"), Some(list("7")));
        assert_eq!((big("0-3"), big("4-7"), big("5")), (None, None, None));
        // Those of the second cluster are a little slower than those of the first.
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
        // Snapdragon: a fastest one that would be alone if only its equals counted.
        assert_eq!(big(&[377, 377, 377, 377, 871, 871, 871, 1024]).as_deref(), Some("4-7"));
        assert_eq!(big(&[300, 300, 760, 760, 760, 1024]).as_deref(), Some("2-5"));
        // Amlogic S922X: Cortex-A53 at a higher clock than the Cortex-A73.
        assert_eq!(big(&[623, 623, 1024, 1024, 1024, 1024]).as_deref(), Some("2-5"));
        // RK3399, the big ones last; and a machine with the big ones first.
        assert_eq!(big(&[381, 381, 381, 381, 1024, 1024]).as_deref(), Some("4-5"));
        assert_eq!(big(&[1024, 1024, 446, 446, 446, 446]).as_deref(), Some("0-1"));
        // Turbo clocks that differ by core do not make kinds.
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

    #[test]
    fn cpus_that_cannot_be_used_are_named() {
        let fake = Fake::new();
        fake.write("devices/system/cpu/present", "0-7");
        fake.write("devices/system/cpu/online", "0-3,6-7");
        let why = |cpus: &str| unusable(&fake.sysfs(), &list(cpus), &list("0-3,6")).unwrap_or_default();
        assert_eq!(why("0-3,6"), "");
        assert_eq!(why("0-9"), "CPUs 8-9 do not exist");
        assert_eq!(why("1,8"), "CPU 8 does not exist");
        assert_eq!(why("0-6"), "CPUs 4-5 are offline");
        assert_eq!(why("4"), "CPU 4 is offline");
        assert_eq!(why("6,7"), "CPU 7 is not allowed to this process");
        // Without sysfs it is known only that they are not allowed.
        let bare = unusable(&Fake::new().sysfs(), &list("2-4"), &list("0"));
        assert_eq!(bare.as_deref(), Some("CPUs 2-4 are not allowed to this process"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_inherit_the_cpus() {
        let allowed = affinity::get().unwrap();
        assert!(!allowed.is_empty());
        let one: CpuList = allowed.iter().take(1).collect();
        // In a thread of its own: the others of this process stay free.
        let inherited = thread::spawn(move || {
            let placement = Placement::chosen(None, Some(&one)).unwrap().unwrap();
            assert_eq!(placement.to_string(), format!("1 thread on CPU {one}"));
            assert_eq!(placement.usable(), one);
            assert_eq!(Placement::everywhere().threads, 1);
            let inherited = thread::spawn(affinity::get).join().unwrap();
            (inherited, Some(one))
        });
        let (inherited, one) = inherited.join().unwrap();
        assert_eq!(inherited, one);
        assert_eq!(affinity::get().unwrap(), allowed);
    }

    #[test]
    fn placements_in_words() {
        let placement = Placement { threads: 8, cpus: Some(list("4-7")), big: true };
        assert_eq!(placement.clone().at_most(4).to_string(), "4 threads on CPUs 4-7 (big cores)");
        assert_eq!(placement.usable(), list("4-7"));
        let one = Placement { threads: 1, cpus: Some(list("7")), big: true };
        assert_eq!(one.to_string(), "1 thread on CPU 7 (big core)");
        let free = Placement::chosen(Some(1), None).unwrap().unwrap();
        assert_eq!(free.to_string(), "1 thread");
        assert!(Placement::chosen(None, None).unwrap().is_none());
    }
}
