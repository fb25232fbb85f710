//! Which devices are cameras.

use super::abi;

/// The purpose of a video device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Camera,
    MultiPlanar,
    Other,
}

impl Role {
    pub(super) fn of(capability: &abi::Capability) -> Self {
        // Prefers the capabilities of this device file to those of all files of the device.
        let caps = match capability.capabilities & abi::CAP_DEVICE_CAPS {
            0 => capability.capabilities,
            _ => capability.device_caps,
        };
        let has = |flags: u32| caps & flags == flags;
        if has(abi::CAP_VIDEO_CAPTURE | abi::CAP_STREAMING) {
            Self::Camera
        } else if has(abi::CAP_VIDEO_CAPTURE_MPLANE | abi::CAP_STREAMING) {
            Self::MultiPlanar
        } else {
            Self::Other
        }
    }
}
