//! Checks of memory, cameras and displays, and of the permission to use them.

use super::machine::Machine;
use super::{Finding, Status};
use crate::terminal::text::size;

/// With less memory, no model of the zoo fits beside the buffers of a camera.
const LEAST_MEMORY: u64 = 32 << 20;

/// With this much memory, ResNeXt-50, its arena and the buffers of a camera fit easily.
const ENOUGH_MEMORY: u64 = 128 << 20;

pub(super) fn memory(machine: &Machine) -> Vec<Finding> {
    let Some(available) = machine.meminfo("MemAvailable") else {
        return vec![Finding::ok("unknown")];
    };
    let total = machine.meminfo("MemTotal").map_or_else(String::new, |total| format!(" of {}", size(total)));
    let found = format!("{}{total} available", size(available));
    let remedy = "stop other programs (sudo systemctl isolate multi-user stops the desktop)";
    vec![match available {
        ..LEAST_MEMORY => Finding::mend(format!("{found}: too little for a model"), remedy),
        LEAST_MEMORY..ENOUGH_MEMORY => Finding::note(format!("{found}: enough for small models"), remedy),
        _ => Finding::ok(found),
    }]
}

/// A node of the video subsystem.
struct Video {
    device: String,
    name: String,
    kind: VideoKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum VideoKind {
    /// Gives pictures to the program that opens it.
    Camera,
    /// Gives raw data of the sensor, which a program of the vendor turns into pictures.
    Raw,
    /// Decoders, scalers, metadata.
    Other,
}

/// The drivers whose nodes give raw data of a sensor.
const RAW: [&str; 5] = ["unicam", "rp1-cfe", "vi-output", "rkisp1_", "rkcif"];

/// The drivers whose nodes can capture but are no cameras: codecs, scalers and image processors.
const NOT_CAMERAS: [&str; 8] = [
    "bcm2835-codec",
    "bcm2835-isp",
    "pispbe",
    "rpivid",
    "rpi-hevc",
    "rpi-isp",
    "rkisp1_params",
    "rkisp1_stats",
];

fn videos(machine: &Machine) -> Vec<Video> {
    let nodes = machine.sysfs.entries("class/video4linux").into_iter();
    let mut videos: Vec<_> = nodes
        .filter_map(|node| {
            let device = node.rsplit('/').next()?.to_owned();
            device.strip_prefix("video")?.parse::<u32>().ok()?;
            let name = machine.sysfs.text(&format!("{node}/name")).unwrap_or_else(|| "no name".to_owned());
            Some(Video { kind: kind(machine, &node, &name), device, name })
        })
        .collect();
    videos.sort_by_key(|video| (video.device.len(), video.device.clone()));
    videos
}

fn kind(machine: &Machine, node: &str, name: &str) -> VideoKind {
    let is = |names: &[&str]| names.iter().any(|start| name.to_ascii_lowercase().starts_with(start));
    if is(&NOT_CAMERAS) {
        return VideoKind::Other;
    }
    if is(&RAW) {
        return VideoKind::Raw;
    }
    // If there is udev, it has asked the device for its capabilities.
    let number = machine.sysfs.text(&format!("{node}/dev")).unwrap_or_default();
    let udev = machine.files.text(&format!("run/udev/data/c{number}")).unwrap_or_default();
    let abilities = udev.lines().find_map(|line| line.strip_prefix("E:ID_V4L_CAPABILITIES="));
    let captures = match abilities {
        Some(abilities) => abilities.contains(":capture:") && !abilities.contains(":video_output"),
        // The second node of a USB camera gives metadata.
        None => machine.sysfs.number(&format!("{node}/index")).is_none_or(|index| index == 0),
    };
    if captures { VideoKind::Camera } else { VideoKind::Other }
}

pub(super) fn cameras(machine: &Machine) -> Vec<Finding> {
    let videos = videos(machine);
    let of = |kind| videos.iter().filter(move |video| video.kind == kind);
    let mut usable = 0;
    let mut findings: Vec<_> = of(VideoKind::Camera)
        .map(|video| {
            let found = format!("/dev/{}: {}", video.device, video.name);
            match machine.refused(&video.device) {
                None => {
                    usable += 1;
                    Finding::usable(found, format!("resnext camera MODEL.rnx /dev/{}", video.device))
                }
                Some(refused) => Finding::mend(format!("{found}; {}", refused.why), refused.remedy),
            }
        })
        .collect();
    if usable > 0 {
        // One working camera is enough.
        findings.iter_mut().for_each(Finding::soften);
    }
    if let Some(video) = of(VideoKind::Raw).next() {
        findings.push(Finding::note(
            format!("/dev/{}: {}, which gives raw data of a sensor", video.device, video.name),
            pipe(machine),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::note("none", attach(machine)));
    }
    findings
}

/// Returns the command that pipes frames from a sensor to `resnext camera`. The messages of nvarguscamerasrc on stdout must
/// not get into the pipe.
fn pipe(machine: &Machine) -> &'static str {
    match machine.is_jetson() {
        true => {
            "pipe its frames in: gst-launch-1.0 -q nvarguscamerasrc ! nvvidconv ! \
             'video/x-raw,format=I420,width=1280,height=720' ! fdsink fd=3 3>&1 >&2 | \
             resnext camera MODEL.rnx - --format yuv420 --size 1280x720"
        }
        false => {
            "pipe its frames in: rpicam-vid -n -t 0 --codec yuv420 --width 1280 --height 720 -o - | \
             resnext camera MODEL.rnx - --format yuv420 --size 1280x720"
        }
    }
}

fn attach(machine: &Machine) -> &'static str {
    match machine.is_raspberry_pi() {
        true => "connect one; to find one on the ribbon cable: rpicam-hello --list-cameras",
        false => {
            "connect one, or classify pictures and files; in a container: docker run --device /dev/video0"
        }
    }
}

impl Finding {
    /// Turns something broken into a note.
    fn soften(&mut self) {
        if self.status == Status::Mend {
            self.status = Status::Note;
        }
    }
}

pub(super) fn framebuffers(machine: &Machine) -> Vec<Finding> {
    let nodes = machine.sysfs.entries("class/graphics").into_iter();
    let findings: Vec<_> = nodes
        .filter_map(|node| {
            let device = node.rsplit('/').next()?;
            device.strip_prefix("fb")?.parse::<u32>().ok()?;
            let text = |file: &str| machine.sysfs.text(&format!("{node}/{file}"));
            let name = text("name").unwrap_or_else(|| "no name".to_owned());
            let pixels = text("virtual_size").map(|size| size.replace(',', "×"));
            let depth = text("bits_per_pixel");
            let facts = [pixels, depth.as_ref().map(|bits| format!("{bits} bits per pixel"))];
            let facts: Vec<_> = facts.into_iter().flatten().collect();
            let finding = of_device(machine, device, &[&[name], &facts[..]].concat().join(", "));
            Some(match (finding.status, depth.as_deref()) {
                (Status::Ok, None | Some("16" | "24" | "32")) => Finding::usable(
                    finding.found,
                    format!("resnext camera MODEL.rnx SOURCE --fb /dev/{device}"),
                ),
                (Status::Ok, _) => {
                    Finding::note(finding.found, "to use it with camera --fb: fbset -depth 32")
                }
                _ => finding,
            })
        })
        .collect();
    if findings.is_empty() {
        vec![Finding::ok("none: there is no screen, or a desktop drives it")]
    } else {
        findings
    }
}

pub(super) fn spi(machine: &Machine) -> Vec<Finding> {
    let nodes = machine.sysfs.entries("class/spidev").into_iter();
    let devices = nodes.filter_map(|node| Some(node.rsplit('/').next()?.to_owned()));
    let findings: Vec<_> = devices.map(|device| of_device(machine, &device, "")).collect();
    match (findings.is_empty(), machine.is_raspberry_pi(), machine.is_jetson()) {
        (false, ..) => findings,
        (true, true, _) => {
            vec![Finding::note("off", "to use a display on SPI: sudo raspi-config nonint do_spi 0")]
        }
        (true, _, true) => {
            vec![Finding::note("off", "to use a display on SPI: sudo /opt/nvidia/jetson-io/jetson-io.py")]
        }
        _ => vec![Finding::ok("none")],
    }
}

/// Checks a device that is useful but not necessary.
fn of_device(machine: &Machine, device: &str, facts: &str) -> Finding {
    let found = if facts.is_empty() { format!("/dev/{device}") } else { format!("/dev/{device}: {facts}") };
    match machine.refused(device) {
        None => Finding::ok(found),
        Some(refused) => Finding::note(format!("{found}; {}", refused.why), refused.remedy),
    }
}

pub(super) fn user(machine: &Machine) -> Vec<Finding> {
    let name = machine.user().or(machine.user_id().map(|id| format!("number {id}")));
    let Some(name) = name else { return Vec::new() };
    vec![match (machine.user_id(), machine.is_in_group("video")) {
        (Some(0), _) => Finding::ok(format!("{name}, who may use every device")),
        (_, None) => Finding::ok(name),
        (_, Some(true)) => Finding::ok(format!("{name}, in group video")),
        // If the devices can be used all the same, a desktop gives access; if not, `camera` says so.
        (_, Some(false)) => Finding::note(
            format!("{name}, not in group video, which cameras and framebuffers belong to"),
            "sudo usermod -aG video $USER, then log out and in again",
        ),
    }]
}
