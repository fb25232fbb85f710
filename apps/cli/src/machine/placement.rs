//! The number of threads, and the CPUs that they run on.
//!
//! Every thread may run on each of the chosen CPUs, as with `taskset`. A thread is not pinned to a single CPU, so that the
//! scheduler can move it away from a CPU that an interrupt or another program needs. A step ends when its last thread does, so
//! a thread that had to wait for its CPU would hold up all the others.

use super::affinity;
use super::big_cores::big_cores;
use super::cpu_list::CpuList;
use super::sysfs::Sysfs;
use crate::terminal::Error;
use crate::terminal::text::plural;
use std::fmt;
use std::num::NonZero;
use std::thread;

/// A number of threads and the CPUs that they are pinned to.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The number of threads, including the calling one.
    pub(crate) threads: usize,
    /// The CPUs; `None` if the threads may run anywhere.
    pub(crate) cpus: Option<CpuList>,
    /// Whether the CPUs are the big cores of the machine and the user did not choose them.
    big: bool,
}

impl Placement {
    /// Places the threads as `--threads` and `--cpus` say. Returns `None` if neither is given.
    ///
    /// Pins the calling thread. The threads that it starts from now on inherit that.
    pub(crate) fn chosen(threads: Option<u16>, cpus: Option<&CpuList>) -> Result<Option<Self>, Error> {
        if let Some(cpus) = cpus {
            pin(cpus)?;
        }
        let threads = threads.map(usize::from).or(cpus.map(CpuList::len));
        Ok(threads.map(|threads| Self { threads, cpus: cpus.cloned(), big: false }))
    }

    /// Uses one thread for each of the fastest CPUs. If there are slower ones too, pins the calling thread to the fast ones.
    ///
    /// A step waits for its slowest thread, and the scheduler by itself may put a thread on a little core.
    pub(crate) fn fastest() -> Self {
        let big = affinity::get().and_then(|allowed| big_cores(&Sysfs::system(), &allowed));
        // Where pinning is forbidden, a run is slower but not wrong.
        let cpus = big.filter(|big| affinity::set(big).is_ok());
        Self { big: cpus.is_some(), cpus, ..Self::everywhere() }
    }

    /// Uses one thread for each CPU.
    pub(crate) fn everywhere() -> Self {
        // This counts only the CPUs that this thread may run on, up to the quota of a container.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Self { threads, cpus: None, big: false }
    }

    /// Limits the number of threads to `most`.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { threads: self.threads.min(most), ..self }
    }

    /// Returns the CPUs that the threads may run on, pinned or not; empty if the system does not say.
    pub(crate) fn usable(&self) -> CpuList {
        self.cpus.clone().or_else(affinity::get).unwrap_or_default()
    }

    /// Returns text such as ` on CPUs 4-7 (big cores)`; nothing if the scheduler chooses the CPUs.
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

/// Pins the calling thread to the `cpus` of `--cpus`.
fn pin(cpus: &CpuList) -> Result<(), Error> {
    let refused = |what: fmt::Arguments<'_>| Error::new(format_args!("--cpus {cpus}"), what);
    if !cfg!(target_os = "linux") {
        return Err(refused(format_args!("CPUs can be chosen on Linux only; use --threads instead")));
    }
    if let Some(allowed) = affinity::get()
        && let Some(why) = unusable(&Sysfs::system(), cpus, &allowed)
    {
        return Err(refused(format_args!("{why}; choose from {allowed}")));
    }
    affinity::set(cpus)
        .map_err(|error| refused(format_args!("the system refuses these CPUs: {error}; leave out --cpus")))
}

/// Says why some of `cpus` cannot be used. Returns `None` if all can.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
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
