//! The kernel's interface to framebuffers, `linux/fb.h`.

use super::{Channel, Framebuffer, Mode, ModeError, PixelLayout};
use memmap2::{MmapMut, MmapOptions};
use rustix::ioctl::{Getter, Opcode, ioctl};
use std::ffi::c_ulong;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// The memory of a framebuffer device.
pub type Device = MmapMut;

/// Why a framebuffer cannot be used. Displays as `what is wrong; how to fix it`, to follow the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The device does not exist.
    #[error("does not exist; give one that `ls /dev/fb*` lists, or use the web preview or snapshots instead")]
    Missing,
    /// The user may not write to the device.
    #[error("permission denied; join its group (sudo usermod -aG video $USER) and log in again")]
    Denied,
    /// The file is no framebuffer.
    #[error("is not a framebuffer; give a device such as /dev/fb0")]
    NotAFramebuffer,
    /// The layout of pixels is not supported, such as planes, palettes or text. Holds the bits per pixel.
    #[error("has {0} bits per pixel in a layout that is not supported; set 16 or 32 (fbset -depth 32)")]
    Layout(u32),
    /// The driver reports an invalid mode.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The operating system failed.
    #[error("cannot be used: {0}; check the device")]
    Io(#[from] io::Error),
}

impl Framebuffer<Device> {
    /// Opens a device such as `/dev/fb0`.
    ///
    /// # Errors
    ///
    /// Returns an error if the device does not exist, may not be written, or has pixels that are not RGB.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => OpenError::Missing,
                io::ErrorKind::PermissionDenied => OpenError::Denied,
                _ => OpenError::Io(error),
            })?;
        let refused = |error: rustix::io::Errno| match error {
            rustix::io::Errno::NOTTY | rustix::io::Errno::INVAL => OpenError::NotAFramebuffer,
            _ => OpenError::Io(error.into()),
        };
        // SAFETY: the opcode is FBIOGET_VSCREENINFO, which fills a `struct fb_var_screeninfo`. `Variable` has its layout.
        let variable: Variable =
            unsafe { ioctl(&file, Getter::<VARIABLE, Variable>::new()) }.map_err(refused)?;
        // SAFETY: the opcode is FBIOGET_FSCREENINFO, which fills a `struct fb_fix_screeninfo`. `Fixed` has its layout.
        let fixed: Fixed = unsafe { ioctl(&file, Getter::<FIXED, Fixed>::new()) }.map_err(refused)?;
        let mode = mode(&variable, &fixed)?;
        // The mapping begins at a page, and the memory need not.
        let start = fixed.memory_start as usize % rustix::param::page_size();
        let length = start + fixed.memory_length as usize;
        let mode = Mode { offset: mode.offset + start, ..mode };
        // SAFETY: this maps a device, which nobody can truncate. Other programs may draw at the same time, so bytes may change
        // at any time. They are only written, and read once, as plain bytes, and nothing depends on their values.
        let memory = unsafe { MmapOptions::new().len(length).map_mut(&file)? };
        Ok(Self::new(mode, memory)?)
    }
}

const VARIABLE: Opcode = 0x4600;
const FIXED: Opcode = 0x4602;

/// `struct fb_bitfield`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Field {
    offset: u32,
    length: u32,
    from_the_right: u32,
}

impl Field {
    const fn channel(self) -> Channel {
        Channel { shift: self.offset, bits: self.length }
    }
}

/// `struct fb_var_screeninfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Variable {
    width: u32,
    height: u32,
    virtual_width: u32,
    virtual_height: u32,
    x: u32,
    y: u32,
    bits_per_pixel: u32,
    greyscale: u32,
    red: Field,
    green: Field,
    blue: Field,
    alpha: Field,
    nonstandard: u32,
    /// Activation, size in millimetres, acceleration, timing, rotation and colour space.
    others: [u32; 19],
}

/// `struct fb_fix_screeninfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Fixed {
    name: [u8; 16],
    memory_start: c_ulong,
    memory_length: u32,
    kind: u32,
    auxiliary: u32,
    visual: u32,
    steps: [u16; 3],
    stride: u32,
    io_start: c_ulong,
    io_length: u32,
    accelerator: u32,
    capabilities: u16,
    reserved: [u16; 2],
}

/// `FB_TYPE_PACKED_PIXELS`.
const PACKED: u32 = 0;

/// `FB_VISUAL_TRUECOLOR`.
const TRUE_COLOR: u32 = 2;

/// `FB_VISUAL_DIRECTCOLOR`: like true colour, but through a table of intensities, which is linear by default.
const DIRECT_COLOR: u32 = 4;

/// Returns the mode that the kernel describes.
fn mode(variable: &Variable, fixed: &Fixed) -> Result<Mode, OpenError> {
    let unsupported = OpenError::Layout(variable.bits_per_pixel);
    let channels = [variable.red, variable.green, variable.blue];
    let plain = fixed.kind == PACKED
        && matches!(fixed.visual, TRUE_COLOR | DIRECT_COLOR)
        && variable.greyscale == 0
        && variable.nonstandard == 0
        && channels.iter().all(|field| field.from_the_right == 0);
    let format =
        PixelLayout::new(variable.bits_per_pixel, channels.map(Field::channel), variable.alpha.channel());
    let format = format.filter(|_| plain).ok_or(unsupported)?;
    let stride = fixed.stride as usize;
    Ok(Mode {
        width: variable.width,
        height: variable.height,
        stride,
        offset: variable.y as usize * stride + variable.x as usize * format.bytes(),
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what `vc4drmfb` of a Raspberry Pi reports at 1080p.
    fn pi() -> (Variable, Fixed) {
        let field = |offset| Field { offset, length: 8, from_the_right: 0 };
        let variable = Variable {
            width: 1920,
            height: 1080,
            virtual_width: 1920,
            virtual_height: 1080,
            bits_per_pixel: 32,
            red: field(16),
            green: field(8),
            blue: field(0),
            ..Variable::default()
        };
        let fixed = Fixed { memory_length: 8_294_400, visual: TRUE_COLOR, stride: 7680, ..Fixed::default() };
        (variable, fixed)
    }

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Variable>(), 160);
        assert_eq!(std::mem::offset_of!(Variable, red), 32);
        assert_eq!(std::mem::offset_of!(Variable, nonstandard), 80);
        let long = size_of::<c_ulong>();
        assert_eq!(size_of::<Fixed>(), if long == 8 { 80 } else { 68 });
        assert_eq!(std::mem::offset_of!(Fixed, stride), if long == 8 { 48 } else { 44 });
    }

    #[test]
    fn modes_are_understood() {
        let (mut variable, mut fixed) = pi();
        let plain = mode(&variable, &fixed).unwrap();
        let expected =
            Mode { width: 1920, height: 1080, stride: 7680, offset: 0, format: PixelLayout::XRGB8888 };
        assert_eq!(plain, expected);
        (variable.x, variable.y, fixed.stride) = (8, 1080, 7936);
        assert_eq!(mode(&variable, &fixed).unwrap().offset, 1080 * 7936 + 32, "panned to the second page");
    }

    #[test]
    fn other_layouts_are_refused() {
        let refused = |change: fn(&mut Variable, &mut Fixed)| {
            let (mut variable, mut fixed) = pi();
            change(&mut variable, &mut fixed);
            assert!(matches!(mode(&variable, &fixed), Err(OpenError::Layout(_))));
        };
        refused(|variable, _| variable.bits_per_pixel = 8);
        refused(|variable, _| variable.greyscale = 1);
        refused(|variable, _| variable.nonstandard = 1);
        refused(|variable, _| variable.red.length = 10);
        refused(|variable, _| variable.green.from_the_right = 1);
        refused(|_, fixed| fixed.kind = 1);
        refused(|_, fixed| fixed.visual = 3);
    }

    #[test]
    fn files_that_are_none() {
        let open = |path: &str| Framebuffer::open(Path::new(path)).map(drop).unwrap_err();
        assert!(matches!(open("/dev/fb-missing"), OpenError::Missing));
        assert!(matches!(open("/dev/null"), OpenError::NotAFramebuffer));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(open(file.path().to_str().unwrap()), OpenError::NotAFramebuffer));
    }
}
