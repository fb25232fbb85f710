//! Checks on fake machines, whose files follow those of real boards.

use super::machine::Machine;
use super::{Report, Status};
use crate::machine::sysfs::Fake;
use std::path::Path;

/// A program that runs on the fake machine.
#[derive(Clone, Copy)]
struct Program {
    isa: &'static str,
    arch: &'static str,
    accessible: fn(&Path) -> bool,
}

/// Every device that exists may be used.
const ARM: Program = Program { isa: "dotprod", arch: "aarch64", accessible: Path::exists };

impl Program {
    fn report(self, fake: &Fake) -> Report {
        Report::of(&Machine::new(fake.root(), self.isa, self.arch, self.accessible))
    }
}

/// Returns the findings of a check, with their remedies.
fn found(report: &Report, check: &str) -> Vec<(Status, String, String)> {
    let checks = report.checks.iter().filter(|checked| checked.check == check);
    checks
        .map(|checked| {
            let finding = &checked.finding;
            (finding.status, finding.found.clone(), finding.remedy.clone().unwrap_or_default())
        })
        .collect()
}

fn one(report: &Report, check: &str) -> (Status, String, String) {
    let mut found = found(report, check);
    assert_eq!(found.len(), 1, "{check}: {found:?}");
    found.remove(0)
}

fn ok(text: &str) -> (Status, String, String) {
    (Status::Ok, text.to_owned(), String::new())
}

fn cpuinfo(fake: &Fake, parts: &[&str], features: &str) {
    let cpu = |(number, part): (usize, &&str)| {
        format!(
            "processor\t: {number}\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n"
        )
    };
    fake.write("proc/cpuinfo", parts.iter().enumerate().map(cpu).collect::<String>());
}

fn cpus(fake: &Fake, cpus: std::ops::Range<u16>, fastest: u32, governor: &str) {
    for cpu in cpus {
        let write =
            |file: &str, text: String| fake.write(&format!("sys/devices/system/cpu/cpu{cpu}/{file}"), text);
        write("cpufreq/cpuinfo_max_freq", fastest.to_string());
        write("cpufreq/scaling_max_freq", fastest.to_string());
        write("cpufreq/scaling_cur_freq", (fastest / 2).to_string());
        write("cpufreq/scaling_governor", governor.to_owned());
    }
}

fn zone(fake: &Fake, index: u32, name: &str, temperature: &str) {
    fake.write(&format!("sys/class/thermal/thermal_zone{index}/type"), name);
    fake.write(&format!("sys/class/thermal/thermal_zone{index}/temp"), temperature);
}

fn video(fake: &Fake, number: u32, name: &str, index: u32) {
    fake.write(&format!("sys/class/video4linux/video{number}/name"), name);
    fake.write(&format!("sys/class/video4linux/video{number}/index"), index);
    fake.write(&format!("sys/class/video4linux/video{number}/dev"), format!("81:{number}"));
    fake.write(&format!("dev/video{number}"), "");
}

fn user(fake: &Fake, groups: &str, members: &str) {
    fake.write(
        "proc/self/status",
        format!("Name:\tresnext\nUid:\t1000\t1000\t1000\t1000\nGroups:\t{groups}"),
    );
    fake.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash");
    let owner = group_of(fake.root());
    let other = if owner == 44 { 45 } else { 44 };
    // The files of the test stand for devices, so the test uses their group.
    fake.write("etc/group", format!("root:x:{other}:\nvideo:x:{owner}:{members}"));
}

#[cfg(unix)]
fn group_of(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(path).unwrap())
}

#[cfg(not(unix))]
fn group_of(_: &Path) -> u32 {
    0
}

fn raspberry_pi_5() -> Fake {
    let fake = Fake::new();
    fake.write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0");
    fake.write("proc/sys/kernel/osrelease", "6.12.25+rpt-rpi-2712");
    cpuinfo(
        &fake,
        &["0xd0b"; 4],
        "fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    );
    fake.write("sys/devices/system/cpu/online", "0-3");
    fake.write("sys/devices/system/cpu/present", "0-3");
    cpus(&fake, 0..4, 2_400_000, "ondemand");
    zone(&fake, 0, "cpu-thermal", "48300");
    fake.write("sys/class/thermal/thermal_zone0/trip_point_0_type", "critical");
    fake.write("sys/class/thermal/thermal_zone0/trip_point_0_temp", "110000");
    fake.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0");
    fake.write("proc/loadavg", "0.31 0.20 0.10 1/180 4711");
    fake.write("proc/pressure/cpu", "some avg10=0.40 avg60=0.10 avg300=0.00 total=65398048");
    fake.write("proc/meminfo", "MemTotal:        8254416 kB\nMemFree:  1 kB\nMemAvailable:    7340032 kB");
    video(&fake, 0, "rp1-cfe-csi2_ch0", 0);
    video(&fake, 19, "rpi-hevc-dec", 0);
    video(&fake, 20, "pispbe-input", 0);
    fake.write("sys/class/graphics/fb0/name", "vc4drmfb");
    fake.write("sys/class/graphics/fb0/virtual_size", "1920,1080");
    fake.write("sys/class/graphics/fb0/bits_per_pixel", "16");
    fake.write("dev/fb0", "");
    fake.write("sys/class/spidev/spidev10.0/dev", "153:0");
    fake.write("dev/spidev10.0", "");
    user(&fake, &group_of(fake.root()).to_string(), "pi");
    fake
}

#[test]
fn a_raspberry_pi_5() {
    let fake = raspberry_pi_5();
    let report = ARM.report(&fake);
    assert!(report.healthy);
    assert_eq!(
        one(&report, "board"),
        ok("Raspberry Pi 5 Model B Rev 1.0, aarch64, Linux 6.12.25+rpt-rpi-2712")
    );
    assert_eq!(one(&report, "cpu"), ok("4 × Cortex-A76 at up to 2.40 GHz"));
    assert_eq!(one(&report, "kernels"), ok("dotprod; the CPU has NEON, SDOT"));
    assert_eq!(one(&report, "clock"), ok("now 1.20 GHz, at most 2.40 GHz on CPUs 0-3"));
    assert_eq!(one(&report, "load"), ok("load 0.31 on 4 CPUs"));
    assert_eq!(one(&report, "temperature"), ok("cpu-thermal 48.3 °C"));
    assert_eq!(one(&report, "firmware"), ok("has not slowed the CPU down since the board was started"));
    assert_eq!(one(&report, "memory"), ok("7.00 GiB of 7.87 GiB available"));
    let (status, screen, command) = one(&report, "framebuffer");
    assert_eq!((status, &*screen), (Status::Ok, "/dev/fb0: vc4drmfb, 1920×1080, 16 bits per pixel"));
    assert_eq!(command, "resnext camera MODEL.rnx SOURCE --fb /dev/fb0");
    fake.write("sys/class/graphics/fb0/bits_per_pixel", "8");
    let (status, _, remedy) = one(&ARM.report(&fake), "framebuffer");
    assert_eq!((status, &*remedy), (Status::Note, "to use it with camera --fb: fbset -depth 32"));
    assert_eq!(one(&report, "spi"), ok("/dev/spidev10.0"));
    assert_eq!(one(&report, "user"), ok("pi, in group video"));
    let (status, governor, remedy) = one(&report, "governor");
    assert_eq!((status, governor.starts_with("ondemand on CPUs 0-3: ")), (Status::Note, true), "{governor}");
    assert!(remedy.starts_with("echo performance | sudo tee "), "{remedy}");
    // Raw data cannot be classified, and decoders are no cameras.
    let (status, camera, remedy) = one(&report, "camera");
    assert_eq!(
        (status, &*camera),
        (Status::Note, "/dev/video0: rp1-cfe-csi2_ch0, which gives raw data of a sensor")
    );
    assert!(remedy.contains("rpicam-vid") && remedy.contains("| resnext camera MODEL.rnx -"), "{remedy}");
}

#[test]
fn a_raspberry_pi_4_in_trouble() {
    let fake = Fake::new();
    fake.write("sys/firmware/devicetree/base/model", "Raspberry Pi 4 Model B Rev 1.4\0");
    cpuinfo(&fake, &["0xd08"; 4], "fp asimd evtstrm crc32 cpuid");
    fake.write("sys/devices/system/cpu/online", "0-3");
    cpus(&fake, 0..4, 1_800_000, "performance");
    for cpu in 0..4 {
        fake.write(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_max_freq"), 600_000);
    }
    zone(&fake, 0, "cpu-thermal", "83700");
    fake.write("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", "50005");
    fake.write("proc/loadavg", "23.02 11.20 4.10 24/180 4711");
    fake.write("proc/meminfo", "MemTotal: 948304 kB\nMemAvailable: 20480 kB");
    video(&fake, 0, "UVC Camera: Logitech C270", 0);
    video(&fake, 1, "UVC Camera: Logitech C270", 1);
    video(&fake, 10, "bcm2835-codec-decode", 0);
    video(&fake, 13, "bcm2835-isp-output0", 0);
    user(&fake, "1000 27", "");
    let neon = Program { isa: "neon", accessible: |_| false, ..ARM };
    let report = neon.report(&fake);
    assert!(!report.healthy);
    assert_eq!(report.broken(), 2, "memory and camera");
    let text = report.to_string();
    assert!(text.ends_with(". Whatever is measured now is wrong (see load and firmware).\n"), "{text}");
    assert_eq!(one(&report, "kernels"), ok("neon; the CPU has NEON"));
    assert_eq!(one(&report, "governor"), ok("performance on CPUs 0-3"));
    let (status, clock, remedy) = one(&report, "clock");
    assert_eq!(
        (status, &*clock),
        (Status::Note, "now 0.90 GHz, limited to 0.60 GHz of 1.80 GHz on CPUs 0-3")
    );
    assert!(remedy.contains("echo 1800000 | sudo tee "), "{remedy}");
    let (status, temperature, _) = one(&report, "temperature");
    assert_eq!((status, &*temperature), (Status::Note, "cpu-thermal 83.7 °C: hot enough to slow down"));
    let (status, load, remedy) = one(&report, "load");
    assert!(
        status == Status::Note && load.starts_with("load 23.02 on 4 CPUs: other programs use "),
        "{load}"
    );
    assert_eq!(remedy, "find them with top and stop them");
    let (status, firmware, remedy) = one(&report, "firmware");
    assert_eq!(status, Status::Note);
    assert!(firmware.starts_with("under-voltage, throttled at this moment"), "{firmware}");
    assert!(remedy.starts_with("use a stronger power supply"), "{remedy}");
    let (status, memory, _) = one(&report, "memory");
    assert_eq!((status, &*memory), (Status::Mend, "20.0 MiB of 926.1 MiB available: too little for a model"));
    let (status, camera, _) = one(&report, "camera");
    let refused = "/dev/video0: UVC Camera: Logitech C270; no permission to read and write /dev/video0";
    assert_eq!((status, &*camera), (Status::Mend, refused), "only the node that gives pictures");
    assert_eq!(one(&report, "spi").2, "to use a display on SPI: sudo raspi-config nonint do_spi 0");
    assert_eq!(one(&report, "user").0, Status::Note);
    fake.write("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled", "0x80000");
    let (_, firmware, remedy) = one(&neon.report(&fake), "firmware");
    assert_eq!(firmware, "soft temperature limit since the board was started, but not now");
    assert!(remedy.starts_with("cool the board"), "{remedy}");
}

#[cfg(unix)]
#[test]
fn devices_are_refused_for_a_reason() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::new();
    video(&fake, 0, "USB Camera", 0);
    let device = fake.root().join("dev/video0");
    let mode = |mode| std::fs::set_permissions(&device, std::fs::Permissions::from_mode(mode)).unwrap();
    let remedy = || one(&Program { accessible: |_| false, ..ARM }.report(&fake), "camera").2;
    let group = group_of(&device);
    let mine = group.to_string();
    let others = (group + 1).to_string();
    mode(0o660);
    user(&fake, &others, "");
    assert_eq!(remedy(), "sudo usermod -aG video $USER, then log out and in again");
    user(&fake, &others, "anna,pi");
    assert_eq!(remedy(), "log out and in again, because you joined group video after you logged in");
    user(&fake, &mine, "anna,pi");
    assert_eq!(remedy(), "give this process access, for example with docker run --device /dev/video0");
    mode(0o600);
    assert_eq!(remedy(), "sudo chmod g+rw /dev/video0");
    std::fs::remove_file(&device).unwrap();
    assert!(remedy().ends_with("docker run --device /dev/video0"), "{}", remedy());
}

#[test]
fn one_camera_that_works_is_enough() {
    let fake = Fake::new();
    video(&fake, 0, "laptop camera", 0);
    video(&fake, 2, "USB camera", 0);
    video(&fake, 4, "scaler", 0);
    fake.write("run/udev/data/c81:0", "E:ID_V4L_CAPABILITIES=:capture:");
    fake.write("run/udev/data/c81:4", "E:ID_V4L_CAPABILITIES=:capture:video_output:");
    let report = Program { accessible: |path| path.ends_with("video2"), ..ARM }.report(&fake);
    let [(refused, ..), (works, _, command)] = &found(&report, "camera")[..] else { panic!("two cameras") };
    assert_eq!([*refused, *works], [Status::Note, Status::Ok]);
    assert_eq!(command, "resnext camera MODEL.rnx /dev/video2");
    assert!(report.healthy);
}

#[test]
fn a_jetson_orin_nano() {
    let fake = Fake::new();
    fake.write("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0");
    cpuinfo(&fake, &["0xd42"; 4], "fp asimd evtstrm aes asimddp");
    fake.write("sys/devices/system/cpu/online", "0-3");
    fake.write("sys/devices/system/cpu/present", "0-5");
    cpus(&fake, 0..4, 1_510_400, "schedutil");
    let zones = [
        ("cpu-thermal", "47968"),
        ("gpu-thermal", "48250"),
        ("cv0-thermal", ""),
        ("soc0-thermal", "47093"),
        ("soc1-thermal", "46500"),
        ("tj-thermal", "48250"),
    ];
    (0..).zip(zones).for_each(|(index, (name, temperature))| zone(&fake, index, name, temperature));
    video(&fake, 0, "vi-output, imx219 9-0010", 0);
    let report = ARM.report(&fake);
    assert!(report.healthy);
    let [cpu, off] = &found(&report, "cpu")[..] else { panic!("two things about the CPU") };
    assert_eq!(*cpu, ok("4 × Cortex-A78AE at up to 1.51 GHz"));
    let expected = (Status::Note, "offline: CPUs 4-5".to_owned(), "sudo nvpmodel -m 0".to_owned());
    assert_eq!(*off, expected);
    assert_eq!(one(&report, "governor").2, "sudo jetson_clocks");
    let hottest =
        "gpu-thermal 48.2 °C, tj-thermal 48.2 °C, cpu-thermal 48.0 °C, soc0-thermal 47.1 °C and 1 cooler";
    assert_eq!(one(&report, "temperature"), ok(hottest));
    assert!(found(&report, "firmware").is_empty(), "that is a Raspberry Pi's");
    assert!(one(&report, "camera").2.contains("nvarguscamerasrc"));
    assert!(one(&report, "spi").2.contains("jetson-io"));
}

#[test]
fn big_and_little_cores() {
    let fake = Fake::new();
    fake.write("proc/device-tree/model", "Radxa ROCK 5B");
    cpuinfo(
        &fake,
        &["0xd05", "0xd05", "0xd05", "0xd05", "0xd0b", "0xd0b", "0xd0b", "0xd0b"],
        "asimd asimddp",
    );
    fake.write("sys/devices/system/cpu/online", "0-7");
    for (cpu, capacity) in (0..8).zip([414, 414, 414, 414, 1024, 1024, 1000, 1000]) {
        fake.write(&format!("sys/devices/system/cpu/cpu{cpu}/cpu_capacity"), capacity);
    }
    cpus(&fake, 0..4, 1_800_000, "performance");
    cpus(&fake, 4..8, 2_400_000, "schedutil");
    let report = ARM.report(&fake);
    let expected =
        "4 × Cortex-A55 at up to 1.80 GHz (CPUs 0-3), 4 × Cortex-A76 at up to 2.40 GHz (CPUs 4-7, big)";
    assert_eq!(one(&report, "cpu"), ok(expected));
    assert!(one(&report, "governor").1.starts_with("performance on CPUs 0-3, schedutil on CPUs 4-7"));
    assert_eq!(found(&report, "clock").len(), 2);
}

fn x86(flags: &str) -> Fake {
    let fake = Fake::new();
    fake.write("sys/class/dmi/id/sys_vendor", "LENOVO");
    fake.write("sys/class/dmi/id/product_name", "21CB");
    let cpu = |number| {
        format!(
            "processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM) i5\nflags\t\t: fpu {flags}\n\n"
        )
    };
    fake.write("proc/cpuinfo", (0..2).map(cpu).collect::<String>());
    fake.write("sys/class/hwmon/hwmon0/name", "coretemp");
    fake.write("sys/class/hwmon/hwmon0/temp1_input", "55000");
    fake.write("proc/self/status", "Uid:\t0\t0\t0\t0");
    fake.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash");
    fake
}

#[test]
fn an_x86_machine() {
    let fake = x86("sse2 avx2 avx_vnni");
    let pc = Program { isa: "avxvnni", arch: "x86_64", ..ARM };
    let report = pc.report(&fake);
    assert_eq!(one(&report, "board"), ok("LENOVO 21CB, x86_64"));
    assert_eq!(one(&report, "cpu"), ok("2 × Intel(R) Core(TM) i5"));
    assert_eq!(one(&report, "kernels"), ok("avxvnni; the CPU has AVX2, AVX-VNNI"));
    assert_eq!(one(&report, "temperature"), ok("coretemp 55.0 °C"));
    assert_eq!(one(&report, "user"), ok("root, who may use every device"));
    let (status, kernels, _) = one(&Program { isa: "avx2", ..pc }.report(&fake), "kernels");
    assert_eq!(
        (status, &*kernels),
        (Status::Note, "avx2; the CPU has AVX2, AVX-VNNI, but programs cannot use AVX-VNNI")
    );
    let (status, _, remedy) = one(&Program { isa: "scalar", ..pc }.report(&x86("sse2")), "kernels");
    assert_eq!(
        (status, &*remedy),
        (Status::Note, "in a virtual machine, pass the CPU through (QEMU: -cpu host)")
    );
    let (status, kernels, _) =
        one(&Program { isa: "scalar", arch: "arm", ..pc }.report(&Fake::new()), "kernels");
    assert_eq!((status, &*kernels), (Status::Note, "scalar: portable Rust, because this is a build for arm"));
}

/// `qemu-aarch64` shows programs the machine that it runs on. box64 does the same the other way round.
#[test]
fn an_emulated_cpu_is_not_taken_for_the_machine_below() {
    let fake = x86("sse2 avx2");
    let report = ARM.report(&fake);
    let (status, cpu, remedy) = one(&report, "cpu");
    let emulated =
        "emulated by 2 × Intel(R) Core(TM) i5: results are right, but latencies are those of no board";
    assert_eq!((status, &*cpu), (Status::Note, emulated));
    assert!(remedy.contains("resnext bench"), "{remedy}");
    assert_eq!(one(&report, "kernels"), ok("dotprod"), "of the emulated CPU, without features of the other");
    let pi = raspberry_pi_5();
    let box64 = Program { isa: "avx2", arch: "x86_64", ..ARM }.report(&pi);
    assert!(one(&box64, "cpu").1.starts_with("emulated by 4 × Cortex-A76 at up to 2.40 GHz: "));
    // Some kernels for Arm also give a model name, which is that of a compatible 32-bit mode.
    let named = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 4 (v8l)\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n";
    pi.write("proc/cpuinfo", named);
    for arch in ["aarch64", "arm"] {
        let (status, cpu, _) = one(&Program { arch, ..ARM }.report(&pi), "cpu");
        assert_eq!(status, Status::Ok, "{arch}: {cpu}");
        assert!(cpu.contains("Cortex-A53") && !cpu.contains("ARMv8"), "{cpu}");
    }
}

#[test]
fn a_container_without_sysfs() {
    let report = ARM.report(&Fake::new());
    assert!(report.healthy);
    assert_eq!(one(&report, "cpu").0, Status::Note);
    assert_eq!(one(&report, "kernels"), ok("dotprod"));
    assert_eq!(one(&report, "temperature").0, Status::Ok);
    assert_eq!(one(&report, "camera").1, "none");
}

#[test]
fn garbage_is_no_reason_to_panic() {
    let garbage: [&[u8]; 9] = [
        b"",
        b"\n",
        b"\0\0\0",
        b"\xff\xfe\x80",
        b"-1",
        b"99999999999999999999999999",
        b"a:b:c:d\n:::\n\x1b[2J,,,-,0-\xc3\xa9",
        "é\u{9b}31m: é × : \u{7f}\nprocessor : é\nCPU part : 0x\nCPU implementer: \nflags :\n".as_bytes(),
        &[b'9'; 5000],
    ];
    let mut paths: Vec<String> = Vec::new();
    let full = raspberry_pi_5();
    let mut folders = vec![full.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => paths.push(entry.strip_prefix(full.root()).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    assert!(paths.len() > 30);
    for bytes in garbage {
        let fake = Fake::new();
        for path in &paths {
            fake.write(path, "");
            std::fs::write(fake.root().join(path), bytes).unwrap();
        }
        let report = ARM.report(&fake);
        let text = report.to_string();
        let controls = text.chars().filter(|&c| c.is_control() && c != '\n').count();
        assert_eq!(controls, 0, "{text:?}");
        assert!(serde_json::to_string(&report).is_ok());
        // The same with only one broken file.
        for path in &paths {
            let path = full.root().join(path);
            let good = std::fs::read(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            assert!(!ARM.report(&full).checks.is_empty(), "{}", path.display());
            std::fs::write(&path, good).unwrap();
        }
    }
}

#[test]
fn the_table_in_colour_and_without() {
    let fake = raspberry_pi_5();
    let report = ARM.report(&fake);
    let (mut plain, mut coloured) = (String::new(), String::new());
    report.write(&mut plain, false).unwrap();
    report.write(&mut coloured, true).unwrap();
    assert!(plain.contains("\nok    cpu          4 × Cortex-A76 at up to 2.40 GHz\n"), "{plain}");
    assert!(plain.contains("\nnote  governor     ondemand"), "{plain}");
    assert!(plain.contains("\n                   → echo performance | sudo tee"), "{plain}");
    assert!(plain.ends_with("\nNothing is broken; 2 notes.\n"), "{plain}");
    // Other programs are a note, and spoil every measurement.
    fake.write("proc/pressure/cpu", "some avg10=40.00 avg60=0.10 avg300=0.00 total=65398048");
    let busy = ARM.report(&fake);
    assert!(report.measurable && !busy.measurable);
    let text = busy.to_string();
    let expected = "\nNothing is broken, but whatever is measured now is wrong (see load); 3 notes.\n";
    assert!(text.ends_with(expected), "{text}");
    assert!(coloured.contains("\n\x1b[32mok  \x1b[0m  cpu          4 × Cortex-A76"), "{coloured}");
    assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[0m", ""), plain);
}
