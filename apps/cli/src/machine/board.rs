//! Temperature, clock and throttling of the machine, read while it works.
//!
//! The files stay open between samples, so that a sample takes microseconds and allocates nothing. On a Raspberry Pi the clock
//! is the one that the kernel requested; the flags of the firmware show whether the CPU really ran at it.

use crate::machine::cpu_list::CpuList;
use crate::machine::sysfs::{Gauge, Sysfs, hexadecimal};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;

/// The open files.
pub(crate) struct Board {
    thermometers: Vec<Gauge>,
    clocks: Vec<Clock>,
    firmware: Option<Gauge>,
}

struct Clock {
    current: Option<Gauge>,
    allowed: Option<Gauge>,
    fastest: i64,
}

/// The state of the machine at one moment. What the machine does not report is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// The temperature of the hottest part of the CPU in °C.
    pub(crate) temperature_c: Option<f32>,
    /// The highest clock of the watched CPUs in MHz. Idle CPUs are slower.
    pub(crate) mhz: Option<u32>,
    /// The lowest clock in MHz that a watched CPU is limited to; `None` if all may run at their fastest.
    pub(crate) limit_mhz: Option<u32>,
    /// The flags of a Raspberry Pi's firmware.
    pub(crate) firmware: Option<Throttled>,
}

impl Board {
    /// Opens the files of this machine and of `cpus`.
    pub(crate) fn open(cpus: &CpuList) -> Self {
        Self::on(&Sysfs::system(), cpus)
    }

    /// Opens the files below `sysfs`.
    pub(crate) fn on(sysfs: &Sysfs, cpus: &CpuList) -> Self {
        let zones = zones(sysfs);
        let of_cpu: Vec<_> = zones.iter().filter(|zone| zone.of_cpu()).collect();
        let zones = if of_cpu.is_empty() { zones.iter().collect() } else { of_cpu };
        Self {
            thermometers: zones.iter().filter_map(|zone| Gauge::open(sysfs, &zone.file)).collect(),
            clocks: clocks(sysfs, cpus),
            firmware: throttled_file(sysfs).and_then(|file| Gauge::open(sysfs, &file)),
        }
    }

    /// Returns the temperature of the hottest part of the CPU in °C.
    pub(crate) fn temperature_c(&self) -> Option<f32> {
        let celsius = |gauge: &Gauge| gauge.number().and_then(celsius);
        self.thermometers.iter().filter_map(celsius).reduce(f32::max)
    }

    /// Reads all files.
    pub(crate) fn sample(&self) -> Sample {
        let megahertz = |gauge: &Option<Gauge>| gauge.as_ref()?.number().and_then(megahertz);
        let limit = |clock: &Clock| {
            let allowed = clock.allowed.as_ref()?.number()?;
            megahertz_if(allowed, is_limited(allowed, clock.fastest))
        };
        Sample {
            temperature_c: self.temperature_c(),
            mhz: self.clocks.iter().filter_map(|clock| megahertz(&clock.current)).max(),
            limit_mhz: self.clocks.iter().filter_map(limit).min(),
            firmware: self.firmware.as_ref().and_then(Gauge::hexadecimal).map(Throttled),
        }
    }
}

impl Sample {
    /// Returns why the CPU is slower than it could be at this moment, in a few words.
    pub(crate) fn slowed(&self) -> Option<&'static str> {
        let flags = self.firmware.map_or(0, |flags| flags.now().0);
        let flag = FLAG_NAMES.into_iter().enumerate().find(|(bit, _)| flags & 1 << bit != 0);
        flag.map(|(_, name)| name).or(self.limit_mhz.map(|_| "clock limited"))
    }
}

/// Returns whether a clock is limited. The steps between clocks are wider than 1 %; a smaller difference is rounding.
pub(crate) fn is_limited(allowed: i64, fastest: i64) -> bool {
    allowed < fastest - fastest / 100
}

/// Converts the kHz of sysfs to MHz. Nothing that runs Linux has a clock below 1 MHz or above 100 GHz.
fn megahertz(kilohertz: i64) -> Option<u32> {
    (1_000..=100_000_000).contains(&kilohertz).then_some((kilohertz / 1000) as u32)
}

fn megahertz_if(kilohertz: i64, condition: bool) -> Option<u32> {
    megahertz(kilohertz).filter(|_| condition)
}

/// Converts the m°C of sysfs to °C. Sensors that are switched off or broken report values that no chip survives.
pub(crate) fn celsius(millidegrees: i64) -> Option<f32> {
    (-50_000..=150_000).contains(&millidegrees).then_some(millidegrees as f32 / 1e3)
}

/// Opens the clocks of `cpus`. CPUs that share a clock are read once.
fn clocks(sysfs: &Sysfs, cpus: &CpuList) -> Vec<Clock> {
    let mut seen = BTreeSet::new();
    let file = |cpu: u16, name: &str| format!("devices/system/cpu/cpu{cpu}/cpufreq/{name}");
    let first = |cpu: &u16| sysfs.cpu_text(*cpu, "cpufreq/related_cpus").is_none_or(|all| seen.insert(all));
    let open = |cpu: u16| Clock {
        current: Gauge::open(sysfs, &file(cpu, "scaling_cur_freq")),
        allowed: Gauge::open(sysfs, &file(cpu, "scaling_max_freq")),
        fastest: sysfs
            .number(&file(cpu, "cpuinfo_max_freq"))
            .and_then(|khz| khz.try_into().ok())
            .unwrap_or(0),
    };
    cpus.iter().filter(first).map(open).collect()
}

/// A part of the machine with a thermometer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// What the system calls it, such as `cpu-thermal`.
    pub(crate) name: String,
    /// The file with its temperature.
    pub(crate) file: String,
}

impl Zone {
    /// Returns whether the zone belongs to the CPU, judging by the names that Linux drivers use.
    pub(crate) fn of_cpu(&self) -> bool {
        ["cpu", "core", "soc", "x86_pkg_temp", "k10temp", "zenpower", "tj"]
            .iter()
            .any(|part| self.name.to_ascii_lowercase().contains(part))
    }
}

/// Returns the thermal zones, or if there are none, the sensors in the CPU.
pub(crate) fn zones(sysfs: &Sysfs) -> Vec<Zone> {
    let named = |directory: String, name: &str, file: &str| {
        let name = sysfs.text(&format!("{directory}/{name}"))?;
        let file = format!("{directory}/{file}");
        sysfs.has(&file).then_some(Zone { name, file })
    };
    let zones = sysfs.entries("class/thermal").into_iter().filter(|path| path.contains("/thermal_zone"));
    let zones: Vec<_> = zones.filter_map(|zone| named(zone, "type", "temp")).collect();
    if !zones.is_empty() {
        return zones;
    }
    let sensors = sysfs.entries("class/hwmon").into_iter();
    sensors.filter_map(|sensor| named(sensor, "name", "temp1_input")).filter(Zone::of_cpu).collect()
}

/// What a Raspberry Pi's firmware does to the clock now, and what it has done before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttled(pub(crate) u32);

/// The directory where the drivers of Raspberry Pi OS show the flags, below a name that depends on the model.
const FIRMWARE: &str = "bus/platform/drivers/raspberrypi-firmware";

/// The names of the firmware's flags, starting at bit 0.
const FLAG_NAMES: [&str; 4] = ["under-voltage", "clock capped", "throttled", "soft temperature limit"];
const FLAGS: u32 = 0b1111;
const UNDER_VOLTAGE: u32 = 1;

/// The first bit of the same flags for what has happened since the start.
const REMEMBERED: u32 = 16;

fn throttled_file(sysfs: &Sysfs) -> Option<String> {
    let files = sysfs.entries(FIRMWARE).into_iter().map(|device| format!("{device}/get_throttled"));
    // The path below the platform exists even where a container does not show the directory of the driver.
    files.chain(["devices/platform/soc/soc:firmware/get_throttled".to_owned()]).find(|file| sysfs.has(file))
}

impl Throttled {
    /// Reads the flags. Returns `None` if the machine is not a Raspberry Pi.
    pub(crate) fn read(sysfs: &Sysfs) -> Option<Self> {
        hexadecimal(&sysfs.text(&throttled_file(sysfs)?)?).map(Self)
    }

    /// Returns the flags that are set at this moment.
    pub(crate) fn now(self) -> Self {
        Self(self.0 & FLAGS)
    }

    /// Returns the flags that the firmware remembers.
    pub(crate) fn remembered(self) -> Self {
        Self(self.0 >> REMEMBERED & FLAGS)
    }

    /// Returns the flags that are set at this moment or have been set and cleared since `before` was read.
    pub(crate) fn since(self, before: Self) -> Self {
        // A flag that was remembered in `before` may be old. The kernel makes the firmware forget every few seconds, so it
        // may also be gone by now.
        self.now().and(Self(self.0 & !before.0).remembered())
    }

    /// Returns the flags of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether any flag is set.
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    /// Returns the remedy.
    pub(crate) fn remedy(self) -> &'static str {
        match self.0 & UNDER_VOLTAGE {
            0 => "cool the board",
            _ => "use a stronger power supply",
        }
    }
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |&(bit, _): &(usize, _)| self.0 & 1 << bit != 0;
        let mut comma = "";
        for (_, name) in FLAG_NAMES.into_iter().enumerate().filter(set) {
            write!(f, "{comma}{name}")?;
            comma = ", ";
        }
        Ok(())
    }
}

impl Serialize for Throttled {
    /// The names of the flags.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = |&(bit, _): &(usize, _)| self.0 & 1 << bit != 0;
        serializer.collect_seq(FLAG_NAMES.into_iter().enumerate().filter(set).map(|(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sysfs::Fake;

    fn board(fake: &Fake) -> Board {
        Board::on(&fake.sysfs(), &(0..4).collect())
    }

    #[test]
    fn samples_follow_the_machine() {
        let fake = Fake::new();
        fake.write("class/thermal/thermal_zone0/type", "cpu-thermal");
        fake.write("class/thermal/thermal_zone0/temp", 48_312);
        fake.cpus(0..4, "cpufreq/related_cpus", "0 1 2 3");
        fake.cpus(0..4, "cpufreq/scaling_cur_freq", 1_500_000);
        fake.cpus(0..4, "cpufreq/scaling_max_freq", 2_400_000);
        fake.cpus(0..4, "cpufreq/cpuinfo_max_freq", 2_400_000);
        fake.write("bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", "0");
        let board = board(&fake);
        assert_eq!(board.clocks.len(), 1, "they share a clock");
        let cool = Sample {
            temperature_c: Some(48.312),
            mhz: Some(1500),
            limit_mhz: None,
            firmware: Some(Throttled(0)),
        };
        assert_eq!(board.sample(), cool);
        fake.write("class/thermal/thermal_zone0/temp", 85_000);
        fake.cpus(0..4, "cpufreq/scaling_max_freq", 1_800_000);
        fake.write("bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", "80008");
        let hot = Sample {
            temperature_c: Some(85.0),
            mhz: Some(1500),
            limit_mhz: Some(1800),
            firmware: Some(Throttled(0x80008)),
        };
        assert_eq!(board.sample(), hot);
        assert_eq!((cool.slowed(), hot.slowed()), (None, Some("soft temperature limit")));
        let limited = Sample { firmware: Some(Throttled(0x50000)), ..hot };
        assert_eq!(limited.slowed(), Some("clock limited"), "what the firmware remembers is over");
        assert_eq!(board.temperature_c(), Some(85.0));
    }

    #[test]
    fn the_hottest_zone_of_the_cpu_counts() {
        let fake = Fake::new();
        let zones =
            [("acpitz", 99_000), ("cpu-thermal", 45_000), ("soc0-thermal", 46_500), ("gpu-thermal", 70_000)];
        for (index, (name, temperature)) in zones.into_iter().enumerate() {
            fake.write(&format!("class/thermal/thermal_zone{index}/type"), name);
            fake.write(&format!("class/thermal/thermal_zone{index}/temp"), temperature);
        }
        assert_eq!(board(&fake).temperature_c(), Some(46.5));
    }

    #[test]
    fn other_zones_count_where_none_is_of_the_cpu() {
        let fake = Fake::new();
        fake.write("class/thermal/thermal_zone0/type", "acpitz");
        fake.write("class/thermal/thermal_zone0/temp", 27_800);
        assert_eq!(board(&fake).temperature_c(), Some(27.8));
    }

    #[test]
    fn sensors_in_the_cpu_count_where_there_are_no_zones() {
        let fake = Fake::new();
        for (index, (name, temperature)) in [("nvme", 90_000), ("k10temp", 41_250)].into_iter().enumerate() {
            fake.write(&format!("class/hwmon/hwmon{index}/name"), name);
            fake.write(&format!("class/hwmon/hwmon{index}/temp1_input"), temperature);
        }
        assert_eq!(board(&fake).temperature_c(), Some(41.25));
    }

    #[test]
    fn the_fastest_of_several_clocks_counts() {
        let fake = Fake::new();
        for (cpus, clock) in [(0..2, 600_000), (2..4, 1_800_000)] {
            fake.cpus(cpus.clone(), "cpufreq/related_cpus", format!("{} {}", cpus.start, cpus.end - 1));
            fake.cpus(cpus, "cpufreq/scaling_cur_freq", clock);
        }
        assert_eq!(board(&fake).sample().mhz, Some(1800));
    }

    #[test]
    fn a_machine_that_says_nothing_or_nonsense() {
        let fake = Fake::new();
        assert_eq!(board(&fake).sample(), Sample::default());
        for nonsense in ["", "n/a", "-274000", "9999999999999999999999", "4000000", "1e3", "\u{1b}[2J"] {
            fake.write("class/thermal/thermal_zone0/type", "cpu-thermal");
            fake.write("class/thermal/thermal_zone0/temp", nonsense);
            for file in ["scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq"] {
                let clock = if nonsense == "4000000" { "-1" } else { nonsense };
                fake.cpus(0..4, &format!("cpufreq/{file}"), clock);
            }
            fake.write("devices/platform/soc/soc:firmware/get_throttled", "what?");
            assert_eq!(board(&fake).sample(), Sample::default(), "{nonsense}");
        }
    }

    #[test]
    fn flags_in_words() {
        let flags = Throttled(0x5_000a);
        assert_eq!(flags.now().to_string(), "clock capped, soft temperature limit");
        assert_eq!(flags.remembered().to_string(), "under-voltage, throttled");
        assert_eq!(
            serde_json::to_string(&flags.now()).unwrap(),
            r#"["clock capped","soft temperature limit"]"#
        );
        assert_eq!(Throttled(0x50000).since(Throttled(0x10000)), Throttled(4), "it came and went");
        assert_eq!(Throttled(u32::MAX).since(Throttled(u32::MAX)), Throttled(0xf));
    }
}
