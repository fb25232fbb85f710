//! Checks of the CPU, its clock and its temperature.

use super::Finding;
use super::machine::Machine;
use crate::machine::big_cores::big_cores;
use crate::machine::board::{Throttled, Zone, celsius, is_limited, zones};
use crate::machine::clock::governors;
use crate::machine::cpu_list::CpuList;
use crate::machine::identity;
use crate::machine::load::Load;
use std::collections::BTreeMap;

pub(super) fn board(machine: &Machine) -> Vec<Finding> {
    let board = machine.board().unwrap_or_else(|| "no name".to_owned());
    let linux = machine.files.text("proc/sys/kernel/osrelease").map(|release| format!(", Linux {release}"));
    vec![Finding::ok(format!("{board}, {}{}", machine.arch, linux.unwrap_or_default()))]
}

pub(super) fn cpu(machine: &Machine) -> Vec<Finding> {
    let cpus = machine.cpus();
    if cpus.is_empty() {
        let found = "unknown, because there is neither /sys nor /proc/cpuinfo";
        return vec![Finding::note(found, "mount them, as in docker run -v /sys:/sys:ro")];
    }
    let big = big_cores(&machine.sysfs, &cpus);
    // `/proc/cpuinfo` lists the CPUs that are online.
    let mut names = identity::cpus(&machine.files).into_iter();
    let mut kinds = BTreeMap::<(bool, Option<String>), CpuList>::new();
    for cpu in cpus.iter() {
        let is_big = big.as_ref().is_some_and(|big| big.iter().any(|other| other == cpu));
        kinds.entry((is_big, names.next())).or_default().extend([cpu]);
    }
    let mixed = kinds.len() > 1;
    let kind = |((is_big, name), cpus): (&(bool, Option<String>), &CpuList)| {
        let name = name.as_deref().unwrap_or("CPU");
        let fastest =
            cpus.iter().filter_map(|cpu| machine.sysfs.cpu_number(cpu, "cpufreq/cpuinfo_max_freq")).max();
        let clock = fastest.map_or_else(String::new, |fastest| format!(" at up to {}", gigahertz(fastest)));
        let which = match (mixed, is_big) {
            (false, _) => String::new(),
            (true, false) => format!(" ({})", cpus.named()),
            (true, true) => format!(" ({}, big)", cpus.named()),
        };
        format!("{} × {name}{clock}{which}", cpus.len())
    };
    let found = kinds.iter().map(kind).collect::<Vec<_>>().join(", ");
    let mut findings = vec![match machine.emulated() {
        false => Finding::ok(found),
        true => Finding::note(
            format!("emulated by {found}: results are right, but latencies are those of no board"),
            "measure on the board itself: resnext bench MODEL.rnx",
        ),
    }];
    if let Some(present) = machine.cpu_list("present") {
        let offline = present.without(&cpus);
        if let Some(first) = offline.iter().next() {
            let remedy = match machine.is_jetson() {
                true => "sudo nvpmodel -m 0".to_owned(),
                false => format!("echo 1 | sudo tee /sys/devices/system/cpu/cpu{first}/online"),
            };
            findings.push(Finding::note(format!("offline: {}", offline.named()), remedy));
        }
    }
    findings
}

/// The features that kernels need, slowest first: the name in Linux, the usual name, and the kernels.
const FEATURES: [(&str, &str, &str); 6] = [
    ("asimd", "NEON", "neon"),
    ("asimddp", "SDOT", "dotprod"),
    ("i8mm", "SMMLA", "i8mm"),
    ("avx2", "AVX2", "avx2"),
    ("avx512_vnni", "AVX-512 VNNI", "avx512vnni"),
    ("avx_vnni", "AVX-VNNI", "avxvnni"),
];

pub(super) fn kernels(machine: &Machine) -> Vec<Finding> {
    let isa = machine.isa;
    // Of big and little CPUs together, only common features count. An emulated program sees a CPU of another architecture here.
    let named = if machine.arch == "x86_64" { "flags" } else { "Features" };
    let mut cpus = machine.cpuinfo(named).into_iter();
    let all = cpus.next().unwrap_or_default();
    let others: Vec<_> = cpus.collect();
    let has = |feature: &str, flags: &str| flags.split_whitespace().any(|flag| flag == feature);
    let common = |feature: &str| has(feature, &all) && others.iter().all(|flags| has(feature, flags));
    let found: Vec<_> = FEATURES.into_iter().filter(|&(feature, ..)| common(feature)).collect();
    let names: Vec<_> = found.iter().map(|&(_, name, _)| name).collect();
    let names = if names.is_empty() { String::new() } else { format!("; the CPU has {}", names.join(", ")) };
    let known = format!("{isa}{names}");
    let rank = |isa: &str| FEATURES.iter().position(|&(.., kernels)| kernels == isa);
    vec![match (isa, found.last()) {
        ("scalar", _) if !["aarch64", "x86_64"].contains(&machine.arch) => {
            let found = format!("{known}: portable Rust, because this is a build for {}", machine.arch);
            Finding::note(found, "install a 64-bit system and a build of resnext for it")
        }
        ("scalar", None) => Finding::note(
            "scalar: portable Rust, perhaps several times slower than this CPU could be; it reports neither AVX2 nor NEON",
            "in a virtual machine, pass the CPU through (QEMU: -cpu host)",
        ),
        (isa, Some(&(_, best, kernels))) if rank(kernels) > rank(isa) => {
            let found = format!("{known}, but programs cannot use {best}");
            Finding::note(found, "update the Linux kernel, or the hypervisor below it")
        }
        _ => Finding::ok(known),
    }]
}

pub(super) fn governor(machine: &Machine) -> Vec<Finding> {
    let governors = governors(&machine.sysfs, &machine.cpus());
    if governors.is_empty() {
        return vec![Finding::ok("none: this system does not control the clock")];
    }
    let one = |(governor, cpus): (&String, &CpuList)| format!("{governor} on {}", cpus.named());
    let found = governors.iter().map(one).collect::<Vec<_>>().join(", ");
    if governors.keys().all(|governor| governor == "performance") {
        return vec![Finding::ok(found)];
    }
    let remedy = match machine.is_jetson() {
        true => "sudo jetson_clocks",
        false => "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    };
    vec![Finding::note(format!("{found}: the first frames after a pause are slower"), remedy)]
}

pub(super) fn clock(machine: &Machine) -> Vec<Finding> {
    let mut clusters = BTreeMap::<u64, CpuList>::new();
    for cpu in machine.cpus().iter() {
        if let Some(fastest) = machine.sysfs.cpu_number(cpu, "cpufreq/cpuinfo_max_freq") {
            clusters.entry(fastest).or_default().extend([cpu]);
        }
    }
    clusters.into_iter().map(|(fastest, cpus)| cluster(machine, fastest, &cpus)).collect()
}

fn cluster(machine: &Machine, fastest: u64, cpus: &CpuList) -> Finding {
    let of = |file: &'static str| cpus.iter().filter_map(move |cpu| machine.sysfs.cpu_number(cpu, file));
    let current = of("cpufreq/scaling_cur_freq").max();
    let now = current.map_or_else(String::new, |now| format!("now {}, ", gigahertz(now)));
    let limit = of("cpufreq/scaling_max_freq").min();
    let limited = |&limit: &u64| {
        let [limit, fastest] = [limit, fastest].map(|clock| i64::try_from(clock).unwrap_or(i64::MAX));
        is_limited(limit, fastest)
    };
    match limit.filter(limited) {
        None => Finding::ok(format!("{now}at most {} on {}", gigahertz(fastest), cpus.named())),
        Some(limit) => Finding::note(
            format!("{now}limited to {} of {} on {}", gigahertz(limit), gigahertz(fastest), cpus.named()),
            match machine.is_jetson() {
                true => "sudo nvpmodel -m 0 && sudo jetson_clocks".to_owned(),
                false => format!(
                    "if the CPU is hot, cool it; else: echo {fastest} | sudo tee \
                     /sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq"
                ),
            },
        ),
    }
}

fn gigahertz(kilohertz: u64) -> String {
    format!("{:.2} GHz", kilohertz as f64 / 1e6)
}

/// The temperature in °C from which on most boards slow down, including the Raspberry Pi.
const HOT: f32 = 80.0;

/// Checks whether other programs use the CPUs.
pub(super) fn load(machine: &Machine) -> Vec<Finding> {
    let Some(load) = Load::read(&machine.files, machine.cpus().len()) else { return Vec::new() };
    vec![match load.is_busy() {
        false => Finding::ok(load.to_string()),
        true => Finding::note(
            format!(
                "{load}: other programs use the CPUs, so everything is slower and no measurement is right"
            ),
            "find them with top and stop them",
        )
        .disturbing(),
    }]
}

pub(super) fn temperature(machine: &Machine) -> Vec<Finding> {
    let read = |zone: Zone| {
        let millidegrees = machine.sysfs.text(&zone.file)?.parse().ok()?;
        celsius(millidegrees).map(|celsius| (zone, celsius))
    };
    let mut read: Vec<_> = zones(&machine.sysfs).into_iter().filter_map(read).collect();
    read.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some((zone, hottest)) = read.first() else {
        return vec![Finding::ok("unknown, because no thermal zone can be read")];
    };
    let shown = read.iter().take(4).map(|(zone, celsius)| format!("{} {celsius:.1} °C", zone.name));
    let mut found = shown.collect::<Vec<_>>().join(", ");
    if read.len() > 4 {
        found += &format!(" and {} cooler", read.len() - 4);
    }
    let limit = trip(machine, zone).map_or(HOT, |trip| HOT.min(trip - 5.0));
    vec![match *hottest >= limit {
        false => Finding::ok(found),
        true => Finding::note(
            format!("{found}: hot enough to slow down"),
            "cool the board: a heat sink, a fan, air around it; then resnext bench MODEL.rnx --sustained 10m",
        ),
    }]
}

/// Returns the lowest temperature at which the kernel does more than turn a fan.
fn trip(machine: &Machine, zone: &Zone) -> Option<f32> {
    let directory = zone.file.strip_suffix("/temp")?;
    let slows = |kind: &String| {
        machine.sysfs.text(kind).is_some_and(|kind| ["passive", "hot", "critical"].contains(&&*kind))
    };
    let kinds =
        machine.sysfs.entries(directory).into_iter().filter(|path| path.ends_with("_type")).filter(slows);
    let trips = kinds.filter_map(|kind| {
        let temperature = machine.sysfs.text(&format!("{}_temp", kind.strip_suffix("_type")?))?;
        celsius(temperature.parse().ok()?)
    });
    // Unused trip points are at 0 °C or below.
    trips.filter(|&trip| trip >= 40.0).reduce(f32::min)
}

pub(super) fn firmware(machine: &Machine) -> Vec<Finding> {
    let Some(flags) = Throttled::read(&machine.sysfs) else { return Vec::new() };
    let (now, before) = (flags.now(), flags.remembered());
    let finding = |flags: Throttled, when: &str| {
        let remedy = match flags.remedy() {
            power if power.contains("power") => {
                format!("{power}: the one made for this board, with its cable")
            }
            cooling => format!("{cooling}: a heat sink, a fan, air around it"),
        };
        Finding::note(format!("{flags} {when}"), remedy)
    };
    match (now.any(), before.any()) {
        (true, _) => vec![finding(now, "at this moment: the firmware slows the CPU down").disturbing()],
        (false, true) => vec![finding(before, "since the board was started, but not now")],
        (false, false) => vec![Finding::ok("has not slowed the CPU down since the board was started")],
    }
}
