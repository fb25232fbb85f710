//! Other programs, which take the CPUs away from a measurement.
//!
//! Before a measurement the kernel says how many programs want to run: the load average, and where the kernel counts it, the
//! share of the last ten seconds in which a program had to wait for a CPU (pressure stall information). During it the scheduler
//! counts how long the threads of this process were ready but waited, and a hypervisor how long it ran other machines.

use crate::machine::sysfs::Sysfs;
use std::fmt;
use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The share of time that programs may wait for a CPU on a quiet machine, in percent.
const QUIET_WAITING: f64 = 10.0;

/// The share of a measurement that its threads may wait for a CPU, or that a hypervisor may run other machines, in percent. On
/// an idle machine it is less than 1.
const QUIET_MEASUREMENT: f64 = 5.0;

/// The ratio of the 90th percentile to the minimum from which on times count as unsteady, ...
const UNSTEADY: f64 = 2.0;

/// ... if the difference is at least this long, in ms. Less is the clock and an interrupt.
const UNSTEADY_MS: f64 = 0.5;

/// How busy a machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// The average number of programs that ran or wanted to run, over the last minute.
    pub(crate) average: f64,
    /// The share of the last ten seconds in which a program waited for a CPU, in percent; `None` if the kernel does not count
    /// that.
    waiting: Option<f64>,
    cpus: usize,
}

impl Load {
    /// Reads the load of this machine; `None` if it does not say.
    pub(crate) fn now() -> Option<Self> {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        Self::read(&Sysfs::at(Path::new("/")), cpus)
    }

    /// Reads the load of a machine with `cpus` CPUs, from the files below `/`.
    pub(crate) fn read(files: &Sysfs, cpus: usize) -> Option<Self> {
        let average = files.text("proc/loadavg")?.split_whitespace().next()?.parse().ok()?;
        let waiting = files.text("proc/pressure/cpu").and_then(|text| {
            let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
            some.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
        });
        Some(Self { average, waiting, cpus: cpus.max(1) })
    }

    /// Returns whether a measurement would have to share its CPUs.
    ///
    /// The average remembers programs that have ended, such as this one in an earlier run, so it counts only where nothing
    /// better is known.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.map_or(self.average > self.cpus as f64 + 0.5, |waiting| waiting > QUIET_WAITING)
    }
}

/// Displays as `load 0.40 on 4 CPUs`.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { average, waiting, cpus } = self;
        write!(f, "load {average:.2} on {cpus} CPU{}", if *cpus == 1 { "" } else { "s" })?;
        match waiting.filter(|&waiting| waiting > QUIET_WAITING) {
            Some(waiting) => write!(f, ", programs waited for one {waiting:.0} % of the last ten seconds"),
            None => Ok(()),
        }
    }
}

/// Watches a measurement from its beginning to its end.
pub(crate) struct Watch {
    files: Sysfs,
    load: Option<Load>,
    threads: usize,
    cpus: usize,
    begin: Instant,
    before: Counters,
}

/// The times of one network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread<'a> {
    pub(crate) network: &'a str,
    /// The fastest run, in ms.
    pub(crate) min: f64,
    /// The 90th percentile, in ms.
    pub(crate) p90: f64,
}

/// What the kernel counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    /// How long the threads of this process were ready but did not run, in ns.
    waited: Option<u64>,
    /// The time that a hypervisor ran other machines, and all time, in ticks of all CPUs.
    stolen: Option<(u64, u64)>,
}

impl Watch {
    /// Begins to watch. `threads` threads will work; `load` is that of the machine before.
    pub(crate) fn start(load: Option<Load>, threads: usize) -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        Self::on(Sysfs::at(Path::new("/")), load, threads, cpus)
    }

    fn on(files: Sysfs, load: Option<Load>, threads: usize, cpus: usize) -> Self {
        let before = Counters::read(&files);
        Self { files, load, threads: threads.max(1), cpus, begin: Instant::now(), before }
    }

    /// Ends the measurement. Returns a warning if other programs disturbed it, or if its times vary for a reason unknown.
    pub(crate) fn finish(self, times: &[Spread<'_>]) -> Option<String> {
        let took = self.begin.elapsed();
        self.finish_after(took, times)
    }

    fn finish_after(self, took: Duration, times: &[Spread<'_>]) -> Option<String> {
        let Self { files, load, threads, cpus, before, .. } = self;
        if threads > cpus {
            return Some(format!(
                "more threads than CPUs ({threads} on {cpus}) wait for each other; give --threads {cpus}"
            ));
        }
        let after = Counters::read(&files);
        let mut signs: Vec<String> =
            load.filter(Load::is_busy).map(|load| load.to_string()).into_iter().collect();
        let waited = after.waited_since(before, took, threads);
        if let Some(waited) = waited.filter(|&waited| waited > QUIET_MEASUREMENT) {
            signs.push(format!("the threads waited for a CPU {waited:.0} % of the time"));
        }
        if let Some(stolen) = after.stolen_since(before).filter(|&stolen| stolen > QUIET_MEASUREMENT) {
            signs.push(format!("the hypervisor ran other machines {stolen:.0} % of the time"));
        }
        let ratio = |times: &Spread<'_>| times.p90 / times.min.max(f64::MIN_POSITIVE);
        let unsteady = |times: &&Spread<'_>| ratio(times) >= UNSTEADY && times.p90 - times.min >= UNSTEADY_MS;
        let worst = times.iter().filter(unsteady).max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let varies =
            worst.map(|times| format!("p90 of {} is {:.1} times its minimum", times.network, ratio(times)));
        match (signs.is_empty(), varies) {
            (true, None) => None,
            (true, Some(varies)) => Some(format!(
                "the times vary, so the medians may be wrong ({varies}); stop other programs, let the CPU cool, and measure again"
            )),
            (false, varies) => {
                signs.extend(varies);
                let signs = signs.join(", ");
                Some(format!(
                    "other programs disturbed the measurement ({signs}); stop them and measure again"
                ))
            }
        }
    }
}

impl Counters {
    fn read(files: &Sysfs) -> Self {
        let threads = files.entries("proc/self/task");
        let waited = |thread: &String| -> Option<u64> {
            files.text(&format!("{thread}/schedstat"))?.split_whitespace().nth(1)?.parse().ok()
        };
        let waited: Vec<u64> = threads.iter().filter_map(waited).collect();
        let stolen = files.text("proc/stat").and_then(|text| {
            // user, nice, system, idle, iowait, irq, softirq, steal
            let line = text.lines().next()?.strip_prefix("cpu ")?;
            let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|n| n.parse().ok()).collect();
            Some((*ticks.get(7)?, ticks.iter().fold(0, |sum: u64, &ticks| sum.saturating_add(ticks))))
        });
        Self {
            waited: (!waited.is_empty())
                .then(|| waited.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns))),
            stolen,
        }
    }

    /// Returns the share of the time that `threads` threads have waited since `before`, in percent.
    fn waited_since(self, before: Self, took: Duration, threads: usize) -> Option<f64> {
        let waited = Duration::from_nanos(self.waited?.saturating_sub(before.waited?));
        let all = took.as_secs_f64() * threads as f64;
        (all > 0.0).then(|| 100.0 * waited.as_secs_f64() / all)
    }

    /// Returns the share of the time that a hypervisor has taken away since `before`, in percent.
    fn stolen_since(self, before: Self) -> Option<f64> {
        let ((stolen, all), (stolen_before, all_before)) = (self.stolen?, before.stolen?);
        let all = all.saturating_sub(all_before);
        (all > 0).then(|| 100.0 * stolen.saturating_sub(stolen_before) as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    const STEADY: Spread<'_> = Spread { network: "int8", min: 10.0, p90: 11.0 };

    fn load(average: &str, waiting: Option<&str>) -> Option<Load> {
        let fake = Fake::new();
        fake.write("proc/loadavg", format_args!("{average} 1.75 0.82 3/105 11645"));
        if let Some(waiting) = waiting {
            let some = format!("some avg10={waiting} avg60=27.57 avg300=14.89 total=65398048");
            fake.write("proc/pressure/cpu", some + "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0");
        }
        Load::read(&fake.sysfs(), 2)
    }

    #[test]
    fn a_busy_machine_is_told_from_a_quiet_one() {
        let busy = |average, waiting| load(average, waiting).expect("a load").is_busy();
        assert!(busy("23.10", None) && busy("2.60", None));
        // A program that used every CPU has just ended.
        assert!(!busy("2.40", None) && !busy("0.00", None) && !busy("23.10", Some("0.31")));
        assert!(busy("1.20", Some("14.50")));
        assert_eq!(load("23.1", None).unwrap().to_string(), "load 23.10 on 2 CPUs");
        let waited = "load 1.20 on 2 CPUs, programs waited for one 34 % of the last ten seconds";
        assert_eq!(load("1.2", Some("34.2")).unwrap().to_string(), waited);
        assert_eq!(load("what?", None), None);
        assert_eq!(Load::read(&Fake::new().sysfs(), 2), None);
        // A kernel that counts no pressure still has the file, which cannot be read.
        assert!(busy("9", Some("")));
    }

    /// Returns the warning of a measurement of ten seconds on two threads and four CPUs.
    fn warning(
        load: Option<Load>,
        (waited_ms, stolen): (u64, u64),
        threads: usize,
        times: &[Spread<'_>],
    ) -> Option<String> {
        let fake = Fake::new();
        let write = |waited: u64, stolen: u64, all: u64| {
            for thread in 0..2 {
                let waited = 500 + waited * 1_000_000 / 2;
                fake.write(&format!("proc/self/task/{thread}/schedstat"), format_args!("7000 {waited} 12"));
            }
            fake.write("proc/stat", format_args!("cpu  {all} 0 0 0 0 0 0 {stolen} 0 0\ncpu0 1 2 3"));
        };
        write(0, 100, 500);
        let watch = Watch::on(fake.sysfs(), load, threads, 4);
        write(waited_ms, 100 + stolen, 4400 - stolen);
        watch.finish_after(Duration::from_secs(10), times)
    }

    #[test]
    fn a_quiet_measurement_has_no_warning() {
        assert_eq!(warning(load("0.5", None), (300, 10), 2, &[STEADY]), None);
        assert_eq!(warning(None, (0, 0), 2, &[STEADY, STEADY]), None);
        let short = Spread { network: "int8", min: 0.02, p90: 0.3 };
        assert_eq!(warning(None, (0, 0), 2, &[short]), None, "an interrupt");
    }

    #[test]
    fn whatever_disturbs_is_named() {
        let found =
            |load, counters, times: &[Spread<'_>]| warning(load, counters, 2, times).unwrap_or_default();
        let busy = found(load("23.1", None), (0, 0), &[STEADY]);
        let expected =
            "other programs disturbed the measurement (load 23.10 on 2 CPUs); stop them and measure again";
        assert_eq!(busy, expected);
        let waited = found(None, (6600, 0), &[STEADY]);
        assert!(waited.contains("(the threads waited for a CPU 33 % of the time)"), "{waited}");
        let stolen = found(None, (0, 1000), &[STEADY]);
        assert!(stolen.contains("(the hypervisor ran other machines 26 % of the time)"), "{stolen}");
        let wide = Spread { network: "fp32 (tract)", min: 10.0, p90: 160.0 };
        let varies = found(None, (0, 0), &[STEADY, wide]);
        assert!(varies.contains("(p90 of fp32 (tract) is 16.0 times its minimum); stop other "), "{varies}");
        let all = found(load("9", None), (6600, 0), &[wide]);
        assert!(all.contains("CPUs, the threads waited for a CPU 33 % of the time, p90 of fp32"), "{all}");
        let own = "more threads than CPUs (5 on 4) wait for each other; give --threads 4";
        assert_eq!(warning(load("9", None), (30_000, 0), 5, &[wide]).as_deref(), Some(own));
    }

    #[test]
    fn a_machine_that_says_nothing_is_judged_by_its_times() {
        let watch = Watch::on(Fake::new().sysfs(), None, 1, 4);
        assert_eq!(watch.finish_after(Duration::from_secs(1), &[STEADY]), None);
        let garbage = Fake::new();
        garbage.write("proc/self/task/1/schedstat", "a b c");
        garbage.write("proc/stat", "cpu  1 2 x");
        let watch = Watch::on(garbage.sysfs(), None, 1, 4);
        garbage.write("proc/self/task/1/schedstat", "1 18446744073709551615 3");
        garbage.write("proc/stat", "cpu  18446744073709551615 18446744073709551615 1 1 1 1 1 1");
        assert_eq!(watch.finish_after(Duration::ZERO, &[STEADY]), None);
    }
}
