//! Temperature, clock and throttling of the machine, read while it works.
//!
//! The files stay open and are read again, so that a sample costs microseconds and allocates nothing. On a
//! Raspberry Pi the clock is the one the kernel asked for: what the firmware made of it shows in its flags.

use crate::machine::cpus::CpuList;
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

/// What the machine said at one moment; `None` for what it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Of the hottest part of the CPU, in °C.
    pub(crate) temperature_c: Option<f32>,
    /// The highest clock of the CPUs watched: those that are idle are slower.
    pub(crate) mhz: Option<u32>,
    /// The lowest clock that CPUs watched are limited to, if they may not run at their fastest.
    pub(crate) limit_mhz: Option<u32>,
    /// Flags of a Raspberry Pi's firmware.
    pub(crate) firmware: Option<Throttled>,
}

impl Board {
    /// Opens what there is to know of this machine and of `cpus`.
    pub(crate) fn open(cpus: &CpuList) -> Self {
        Self::on(&Sysfs::system(), cpus)
    }

    /// Of a machine that its files describe.
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

    /// The temperature of the hottest part of the CPU, in °C.
    pub(crate) fn temperature_c(&self) -> Option<f32> {
        let celsius = |gauge: &Gauge| gauge.number().and_then(celsius);
        self.thermometers.iter().filter_map(celsius).reduce(f32::max)
    }

    /// Reads everything.
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
    /// Why the CPU is slower than it could be at this moment, in a word or two.
    pub(crate) fn slowed(&self) -> Option<&'static str> {
        let flags = self.firmware.map_or(0, |flags| flags.now().0);
        let flag = FLAG_NAMES.into_iter().enumerate().find(|(bit, _)| flags & 1 << bit != 0);
        flag.map(|(_, name)| name).or(self.limit_mhz.map(|_| "clock limited"))
    }
}

/// Steps between clocks are wider than a hundredth; less is rounding.
pub(crate) fn is_limited(allowed: i64, fastest: i64) -> bool {
    allowed < fastest - fastest / 100
}

/// From the kHz of sysfs; nothing that runs Linux has a clock below 1 MHz or above 100 GHz.
fn megahertz(kilohertz: i64) -> Option<u32> {
    (1_000..=100_000_000).contains(&kilohertz).then_some((kilohertz / 1000) as u32)
}

fn megahertz_if(kilohertz: i64, condition: bool) -> Option<u32> {
    megahertz(kilohertz).filter(|_| condition)
}

/// From the thousandths of sysfs. Sensors that are switched off or broken report what no chip survives.
pub(crate) fn celsius(millidegrees: i64) -> Option<f32> {
    (-50_000..=150_000).contains(&millidegrees).then_some(millidegrees as f32 / 1e3)
}

/// CPUs that share a clock are read once.
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

/// A place whose temperature is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// What the system calls it, such as `cpu-thermal`.
    pub(crate) name: String,
    /// Where its temperature is written.
    pub(crate) file: String,
}

impl Zone {
    /// Whether it tells of the CPU, by the names that Linux' drivers use.
    pub(crate) fn of_cpu(&self) -> bool {
        ["cpu", "core", "soc", "x86_pkg_temp", "k10temp", "zenpower", "tj"]
            .iter()
            .any(|part| self.name.to_ascii_lowercase().contains(part))
    }
}

/// The thermal zones, or where there are none, the sensors in the CPU.
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

/// What a Raspberry Pi's firmware does to the clock, and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttled(pub(crate) u32);

/// Where the drivers of Raspberry Pi OS show the flags, under a name for the model.
const FIRMWARE: &str = "bus/platform/drivers/raspberrypi-firmware";

/// What the flags of the firmware mean, from bit 0 up.
const FLAG_NAMES: [&str; 4] = ["under-voltage", "clock capped", "throttled", "soft temperature limit"];
const FLAGS: u32 = 0b1111;
const UNDER_VOLTAGE: u32 = 1;

/// The bit from which on the same flags say what has happened.
const REMEMBERED: u32 = 16;

fn throttled_file(sysfs: &Sysfs) -> Option<String> {
    let files = sysfs.entries(FIRMWARE).into_iter().map(|device| format!("{device}/get_throttled"));
    // The platform's own path is there even where the driver's directory is hidden from a container.
    files.chain(["devices/platform/soc/soc:firmware/get_throttled".to_owned()]).find(|file| sysfs.has(file))
}

impl Throttled {
    /// The flags now; `None` elsewhere than on a Raspberry Pi.
    pub(crate) fn read(sysfs: &Sysfs) -> Option<Self> {
        hexadecimal(&sysfs.text(&throttled_file(sysfs)?)?).map(Self)
    }

    /// What holds at this moment.
    pub(crate) fn now(self) -> Self {
        Self(self.0 & FLAGS)
    }

    /// What the firmware remembers.
    pub(crate) fn remembered(self) -> Self {
        Self(self.0 >> REMEMBERED & FLAGS)
    }

    /// What holds at this moment, or has come and gone since the firmware was asked `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        // What was remembered before may be from long ago. The kernel makes the firmware forget every few
        // seconds, so it may also be gone.
        self.now().and(Self(self.0 & !before.0).remembered())
    }

    /// The flags of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any flag is set.
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    /// What to do against it.
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
