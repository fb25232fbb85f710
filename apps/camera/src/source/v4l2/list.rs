//! The cameras of this machine.

use super::formats::{container, offered, refused, spell};
use super::{Device, Kernel, Role, abi, retry};
use rustix::io::Errno;
use serde::Serialize;
use std::fs;
use std::path::PathBuf;

/// A camera, or what may be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its file.
    pub path: PathBuf,
    /// What the driver calls it; empty if it cannot be asked.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// What it can give.
    pub formats: Vec<Offer>,
    /// Why it cannot be read, and how to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A format, and its sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Four letters.
    pub code: String,
    /// Whether it is read here.
    pub read: bool,
    /// Widths and heights; of a device that does any between two, those two.
    pub sizes: Vec<[u32; 2]>,
}

/// All of them, in the order of their numbers. Codecs, and files that carry no pictures, are left out.
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

/// A device; `None` if it is no camera.
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
        Role::MultiPlanar => Some("gives frames in several buffers, which is not read".to_owned()),
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

fn sizes(device: &mut dyn Device, code: u32) -> Vec<[u32; 2]> {
    let mut sizes = Vec::new();
    for index in 0..256 {
        match retry(|| device.size(code, index)) {
            Ok(found) if found.kind == abi::FRMSIZE_TYPE_DISCRETE => {
                sizes.push([found.sizes[0], found.sizes[1]])
            }
            // One entry says it all: least and greatest width, step, the same of the height.
            Ok(found) => {
                sizes.extend([[found.sizes[0], found.sizes[3]], [found.sizes[1], found.sizes[4]]]);
                break;
            }
            Err(_) => break,
        }
    }
    sizes
}
