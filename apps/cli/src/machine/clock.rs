//! What keeps the CPUs from running at their full clock during a measurement.
//!
//! Only what the system states explicitly counts. The current clock does not count: it falls as soon as the CPU is idle, so
//! after a measurement it shows the governor and not the heat. An active cooling device does not count by itself either,
//! because it may be a fan; it only explains a limit. A limit that begins and ends during the measurement goes unnoticed,
//! except on a Raspberry Pi, whose firmware remembers it.

use crate::machine::board::{Throttled, is_limited};
use crate::machine::cpu_list::CpuList;
use crate::machine::placement::Placement;
use crate::machine::sysfs::Sysfs;
use std::collections::{BTreeMap, BTreeSet};

/// Compares the state of the CPUs before and after a measurement.
pub(crate) struct Watch {
    sysfs: Sysfs,
    cpus: CpuList,
    before: State,
}

impl Watch {
    /// Reads the state before the measurement.
    pub(crate) fn start(placement: &Placement) -> Self {
        Self::on(Sysfs::system(), placement.usable())
    }

    fn on(sysfs: Sysfs, cpus: CpuList) -> Self {
        let before = State::read(&sysfs, &cpus);
        Self { sysfs, cpus, before }
    }

    /// Reads the state after the measurement. Returns what made the times longer or less steady, each with its remedy.
    ///
    /// A machine that does not show its state, such as a virtual one, gets no warnings.
    pub(crate) fn finish(self) -> Vec<String> {
        let after = State::read(&self.sysfs, &self.cpus);
        let firmware = self.before.firmware_since(&after).and_then(firmware_warning);
        let limits = self.before.limits_with(&after);
        let coolers: BTreeSet<_> = self.before.coolers.into_iter().chain(after.coolers).collect();
        let limits = limits.into_iter().map(|(limit, cpus)| limit_warning(limit, &cpus, &coolers));
        firmware.into_iter().chain(limits).chain(governor_warning(&self.sysfs, &self.cpus)).collect()
    }
}

/// What limits the clock at one moment.
struct State {
    /// The flags of a Raspberry Pi's firmware; `None` on other machines.
    firmware: Option<Throttled>,
    /// The limits of the CPUs that may not run at their fastest clock.
    limits: BTreeMap<u16, Limit>,
    /// The names of the devices that cool by slowing CPUs down.
    coolers: BTreeSet<String>,
}

/// The clock that a CPU is limited to and its fastest clock, in kHz.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    allowed: u64,
    fastest: u64,
}

impl State {
    fn read(sysfs: &Sysfs, cpus: &CpuList) -> Self {
        let limits = cpus.iter().filter_map(|cpu| Some((cpu, Limit::read(sysfs, cpu)?))).collect();
        Self { firmware: Throttled::read(sysfs), limits, coolers: coolers(sysfs) }
    }

    fn firmware_since(&self, after: &Self) -> Option<Throttled> {
        let (before, after) = (self.firmware?, after.firmware?);
        Some(before.now().and(after.since(before)))
    }

    /// Returns the CPUs by their lowest limit.
    fn limits_with(&self, after: &Self) -> BTreeMap<Limit, CpuList> {
        let mut lowest = self.limits.clone();
        for (&cpu, &limit) in &after.limits {
            lowest.entry(cpu).and_modify(|lowest| *lowest = limit.min(*lowest)).or_insert(limit);
        }
        let mut cpus = BTreeMap::<_, CpuList>::new();
        lowest.into_iter().for_each(|(cpu, limit)| cpus.entry(limit).or_default().extend([cpu]));
        cpus
    }
}

impl Limit {
    /// Returns `None` if the CPU may run at its fastest clock. The kernel lowers `scaling_max_freq` to reduce heat; power modes
    /// and users lower it too.
    fn read(sysfs: &Sysfs, cpu: u16) -> Option<Self> {
        let allowed = sysfs.cpu_number(cpu, "cpufreq/scaling_max_freq")?;
        let fastest = sysfs.cpu_number(cpu, "cpufreq/cpuinfo_max_freq")?;
        is_limited(allowed.try_into().ok()?, fastest.try_into().ok()?).then_some(Self { allowed, fastest })
    }
}

fn limit_warning(limit: Limit, cpus: &CpuList, coolers: &BTreeSet<String>) -> String {
    let gigahertz = |kilohertz: u64| kilohertz as f64 / 1e6;
    let (allowed, fastest) = (gigahertz(limit.allowed), gigahertz(limit.fastest));
    let limited = format!("{} limited to {allowed:.2} of {fastest:.2} GHz", was(cpus));
    match coolers.is_empty() {
        true => format!(
            "{limited}; set the power mode, or scaling_max_freq in \
             /sys/devices/system/cpu/cpu{}/cpufreq, to the maximum",
            cpus.iter().next().unwrap_or_default()
        ),
        false => {
            let coolers: Vec<_> = coolers.iter().map(String::as_str).collect();
            format!("{limited} because it was hot ({}); cool the CPU and measure again", coolers.join(", "))
        }
    }
}

/// Returns `CPU 0 was` or `CPUs 0-3 were`.
fn was(cpus: &CpuList) -> String {
    format!("{} {}", cpus.named(), if cpus.len() == 1 { "was" } else { "were" })
}

/// Returns the devices that slow CPUs down at this moment. Their type tells, because fans are cooling devices too.
fn coolers(sysfs: &Sysfs) -> BTreeSet<String> {
    let active =
        |device: &String| sysfs.number(&format!("{device}/cur_state")).is_some_and(|state| state > 0);
    // Before Linux 5.12 the type began with `thermal-`. ACPI calls it Processor.
    let slows = |kind: &String| {
        ["cpufreq-", "thermal-cpufreq-", "Processor"].iter().any(|slowing| kind.starts_with(slowing))
    };
    let devices = sysfs.entries("class/thermal").into_iter().filter(|path| path.contains("/cooling_device"));
    devices.filter(active).filter_map(|device| sysfs.text(&format!("{device}/type"))).filter(slows).collect()
}

fn firmware_warning(flags: Throttled) -> Option<String> {
    flags
        .any()
        .then(|| format!("the firmware slowed the CPU down ({flags}); {} and measure again", flags.remedy()))
}

/// Returns the scaling governors of `cpus`, each with the CPUs that it controls.
pub(crate) fn governors(sysfs: &Sysfs, cpus: &CpuList) -> BTreeMap<String, CpuList> {
    let mut governors = BTreeMap::<String, CpuList>::new();
    for cpu in cpus.iter() {
        if let Some(governor) = sysfs.cpu_text(cpu, "cpufreq/scaling_governor") {
            governors.entry(governor).or_default().extend([cpu]);
        }
    }
    governors
}

/// Returns a warning about governors that let the clock of `cpus` vary, with the command that changes them.
fn governor_warning(sysfs: &Sysfs, cpus: &CpuList) -> Option<String> {
    let mut governors = governors(sysfs, cpus);
    governors.remove("performance");
    let governed = |(governor, cpus): (&String, &CpuList)| format!("{governor} on {}", cpus.named());
    let governed: Vec<_> = governors.iter().map(governed).collect();
    (!governed.is_empty()).then(|| {
        format!(
            "the scaling governor is {}, so times vary with the clock; for steady times: echo performance | \
             sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
            governed.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    /// Returns the warnings for four CPUs at their fastest clock, with what a test changes before and meanwhile.
    fn warnings(before: impl FnOnce(&Fake), meanwhile: impl FnOnce(&Fake)) -> Vec<String> {
        let fake = Fake::new();
        fake.cpus(0..4, "cpufreq/scaling_governor", "performance");
        fake.cpus(0..4, "cpufreq/scaling_max_freq", 2_400_000);
        fake.cpus(0..4, "cpufreq/cpuinfo_max_freq", 2_400_000);
        before(&fake);
        let watch = Watch::on(fake.sysfs(), (0..4).collect());
        meanwhile(&fake);
        watch.finish()
    }

    #[test]
    fn a_machine_that_says_nothing_gets_no_warnings() {
        let nothing = Watch::on(Fake::new().sysfs(), (0..4).collect()).finish();
        assert!(nothing.is_empty(), "{nothing:?}");
        let fine = warnings(|_| {}, |_| {});
        assert!(fine.is_empty(), "{fine:?}");
    }

    #[test]
    fn governors_other_than_performance() {
        let command = "for steady times: echo performance | sudo tee \
                       /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        let set = |cpus: std::ops::Range<u16>, governor: &str| {
            let governor = governor.to_owned();
            move |fake: &Fake| fake.cpus(cpus, "cpufreq/scaling_governor", governor)
        };
        let all = warnings(set(0..4, "ondemand"), |_| {});
        let because = "so times vary with the clock";
        assert_eq!(all, [format!("the scaling governor is ondemand on CPUs 0-3, {because}; {command}")]);
        let some = warnings(set(1..4, "schedutil"), set(3..4, "powersave"));
        let which = "powersave on CPU 3, schedutil on CPUs 1-2";
        assert_eq!(some, [format!("the scaling governor is {which}, {because}; {command}")]);
        // CPUs that are not used do not matter.
        assert!(warnings(set(4..8, "ondemand"), |_| {}).is_empty());
    }

    #[test]
    fn limits_count_before_and_after() {
        let limit = |cpus: std::ops::Range<u16>, clock: u32| {
            move |fake: &Fake| fake.cpus(cpus, "cpufreq/scaling_max_freq", clock)
        };
        let set = "set the power mode, or scaling_max_freq in /sys/devices/system/cpu";
        let expected = [
            format!("CPUs 1-2 were limited to 1.20 of 2.40 GHz; {set}/cpu1/cpufreq, to the maximum"),
            format!("CPU 3 was limited to 1.80 of 2.40 GHz; {set}/cpu3/cpufreq, to the maximum"),
        ];
        let both = |fake: &Fake| (limit(1..3, 1_200_000)(fake), limit(3..4, 1_800_000)(fake)).0;
        assert_eq!(warnings(both, |_| {}), expected);
        assert_eq!(warnings(both, limit(0..4, 2_400_000)), expected);
        assert_eq!(warnings(|_| {}, both), expected);
        assert_eq!(warnings(limit(1..4, 1_800_000), limit(1..3, 1_200_000)), expected);
        assert!(warnings(limit(0..4, 2_390_000), limit(0..4, 2_500_000)).is_empty());
    }

    #[test]
    fn limits_because_of_heat() {
        let cooling = |device: u32, kind: &'static str, state: u32| {
            move |fake: &Fake| {
                fake.write(&format!("class/thermal/cooling_device{device}/type"), kind);
                fake.write(&format!("class/thermal/cooling_device{device}/cur_state"), state);
            }
        };
        let hot = |fake: &Fake| {
            cooling(0, "pwm-fan", 3)(fake);
            cooling(1, "cpufreq-cpu0", 2)(fake);
            cooling(2, "thermal-cpufreq-1", 0)(fake);
            fake.cpus(0..4, "cpufreq/scaling_max_freq", 1_800_000);
        };
        let expected = "CPUs 0-3 were limited to 1.80 of 2.40 GHz because it was hot (cpufreq-cpu0); cool the CPU and \
                        measure again";
        assert_eq!(warnings(hot, |_| {}), [expected]);
        assert_eq!(warnings(|_| {}, hot), [expected]);
        assert!(warnings(cooling(0, "pwm-fan", 3), |_| {}).is_empty(), "a fan slows nothing down");
        assert!(warnings(cooling(0, "cpufreq-cpu4", 3), |_| {}).is_empty(), "CPUs that are not used");
    }

    #[test]
    fn a_raspberry_pi_tells_and_remembers() {
        let flags = |flags: &'static str| {
            move |fake: &Fake| {
                fake.write("bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", flags)
            }
        };
        let warning = |before, after| warnings(flags(before), flags(after)).concat();
        assert_eq!(warning("0", "0"), "");
        assert_eq!(warning("50000", "50000"), "", "long ago");
        assert_eq!(warning("50000", "0"), "", "forgotten");
        assert_eq!(
            warning("0", "50005"),
            "the firmware slowed the CPU down (under-voltage, throttled); use a stronger power supply and \
             measure again"
        );
        let hot =
            "the firmware slowed the CPU down (soft temperature limit); cool the board and measure again";
        assert_eq!(warning("0", "80000"), hot, "it came and went");
        assert_eq!(warning("80008", "80000"), hot);
        assert_eq!(warning("0x8", "0x80008"), hot);
        assert_eq!(warning("0", "what?"), "");
        assert_eq!(warnings(|_| {}, flags("f")).len(), 0, "it was not there before");
    }
}
