//! Lists the cameras of this machine.

use super::abi;
use super::device::{Device, Kernel};
use super::formats::{container, offered, refused, spell};
use super::retry::retry;
use super::role::Role;
use rustix::io::Errno;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;

/// A camera, or a device that may be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The device file.
    pub path: PathBuf,
    /// The name that the driver gives it. Empty if the device cannot be opened.
    pub name: String,
    /// Name of the driver.
    pub driver: String,
    /// Formats that the device offers.
    pub formats: Vec<Offer>,
    /// Why the device cannot be used, and how to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A format that a device offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Its code, of four letters.
    pub code: String,
    /// Whether it is supported.
    pub read: bool,
    /// Widths and heights. If the device supports a range of sizes, the least and the greatest one.
    pub sizes: Vec<[u32; 2]>,
}

/// Lists all cameras, in the order of their numbers. Codecs and devices without pictures are left out.
pub fn list() -> Vec<Listed> {
    let Ok(entries) = fs::read_dir("/dev") else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("video")?.parse::<u32>().ok();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<_> = names.filter_map(|name| number(&name)).collect();
    numbers.sort_unstable();
    let paths = numbers.into_iter().map(|number| PathBuf::from(format!("/dev/video{number}")));
    paths
        .filter_map(|path| {
            let device = retry(|| Kernel::open(&path)).map(|device| Box::new(device) as Box<dyn Device>);
            describe(path, device)
        })
        .collect()
}

/// Describes a device. Returns `None` if it is no camera.
pub(super) fn describe(path: PathBuf, device: Result<Box<dyn Device>, Errno>) -> Option<Listed> {
    let unknown = |problem: Errno| Listed {
        path: path.clone(),
        name: String::new(),
        driver: String::new(),
        formats: Vec::new(),
        problem: Some(refused("cannot be opened", problem).to_string()),
    };
    let mut device = match device {
        Ok(device) => device,
        Err(errno) => return Some(unknown(errno)),
    };
    let capability = retry(|| device.capability()).ok()?;
    let problem = match Role::of(&capability) {
        Role::Camera => None,
        Role::MultiPlanar => Some("delivers frames in several buffers, which is not supported".to_owned()),
        Role::Other => return None,
    };
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let codes = if problem.is_none() { offered(&mut *device) } else { Vec::new() };
    let formats = codes.into_iter().map(|code| Offer {
        code: spell(code),
        read: container(code).is_some(),
        sizes: sizes(&mut *device, code),
    });
    let formats = formats.collect();
    let (name, driver) = (text(&capability.card), text(&capability.driver));
    Some(Listed { path, name, driver, formats, problem })
}

/// Returns the sizes of a format.
fn sizes(device: &mut dyn Device, code: u32) -> Vec<[u32; 2]> {
    let mut sizes = Vec::new();
    for index in 0..256 {
        match retry(|| device.size(code, index)) {
            Ok(found) if found.kind == abi::FRMSIZE_TYPE_DISCRETE => {
                sizes.push([found.sizes[0], found.sizes[1]])
            }
            // A range, in one entry: least width, greatest width, step, and the same for the height.
            Ok(found) => {
                sizes.extend([[found.sizes[0], found.sizes[3]], [found.sizes[1], found.sizes[4]]]);
                break;
            }
            Err(_) => break,
        }
    }
    sizes
}
