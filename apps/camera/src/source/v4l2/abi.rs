//! The part of Linux's `linux/videodev2.h` that capturing needs, with the layouts, numbers and names of the kernel.
//! `tests/v4l2_abi.rs` compares them with the header.
#![allow(missing_docs, reason = "the kernel's documentation of V4L2 describes them")]

use rustix::ioctl::{Opcode, opcode};

/// Number of 32-bit words of padding before a field with the alignment of a pointer, after an odd number of words.
const PAD: usize = size_of::<usize>() / 4 - 1;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FmtDesc {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FrmSizeEnum {
    pub index: u32,
    pub pixel_format: u32,
    pub kind: u32,
    /// Width and height, or the least, the greatest and the step of the width and then of the height.
    pub sizes: [u32; 6],
    pub reserved: [u32; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub bytesperline: u32,
    pub sizeimage: u32,
    pub colorspace: u32,
    pub private: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Format {
    pub kind: u32,
    pub pad: [u32; PAD],
    pub pix: PixFormat,
    pub rest: [u8; 200 - size_of::<PixFormat>()],
    /// In the header, the union holds pointers and is aligned for them.
    pub align: [usize; 0],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub pad: [u32; PAD],
    /// Seconds and microseconds.
    pub timestamp: [isize; 2],
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    /// The first word is the offset.
    pub m: [u32; 1 + PAD],
    pub length: u32,
    pub reserved2: u32,
    pub request_fd: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamParm {
    pub kind: u32,
    pub capability: u32,
    pub capturemode: u32,
    /// Seconds per frame: numerator and denominator.
    pub timeperframe: [u32; 2],
    pub rest: [u8; 200 - 16],
}

pub const QUERYCAP: Opcode = opcode::read::<Capability>(b'V', 0);
pub const ENUM_FMT: Opcode = opcode::read_write::<FmtDesc>(b'V', 2);
pub const S_FMT: Opcode = opcode::read_write::<Format>(b'V', 5);
pub const REQBUFS: Opcode = opcode::read_write::<RequestBuffers>(b'V', 8);
pub const QUERYBUF: Opcode = opcode::read_write::<Buffer>(b'V', 9);
pub const QBUF: Opcode = opcode::read_write::<Buffer>(b'V', 15);
pub const DQBUF: Opcode = opcode::read_write::<Buffer>(b'V', 17);
pub const STREAMON: Opcode = opcode::write::<i32>(b'V', 18);
pub const S_PARM: Opcode = opcode::read_write::<StreamParm>(b'V', 22);
pub const ENUM_FRAMESIZES: Opcode = opcode::read_write::<FrmSizeEnum>(b'V', 74);

pub const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
pub const MEMORY_MMAP: u32 = 1;
pub const PIX_FMT_PRIV_MAGIC: u32 = 0xfeed_cafe;

pub const CAP_VIDEO_CAPTURE: u32 = 0x1;
pub const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
pub const CAP_STREAMING: u32 = 0x0400_0000;
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;

pub const BUF_FLAG_ERROR: u32 = 0x40;
pub const BUF_FLAG_TIMESTAMP_MASK: u32 = 0xe000;
pub const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x2000;

pub const FIELD_ANY: u32 = 0;
pub const FIELD_NONE: u32 = 1;
pub const FIELD_INTERLACED: u32 = 4;
pub const FIELD_INTERLACED_TB: u32 = 8;
pub const FIELD_INTERLACED_BT: u32 = 9;

pub const COLORSPACE_REC709: u32 = 3;
pub const COLORSPACE_JPEG: u32 = 7;
pub const COLORSPACE_DCI_P3: u32 = 12;
pub const YCBCR_ENC_DEFAULT: u32 = 0;
pub const YCBCR_ENC_709: u32 = 2;
pub const YCBCR_ENC_XV709: u32 = 4;
pub const QUANTIZATION_DEFAULT: u32 = 0;
pub const QUANTIZATION_FULL_RANGE: u32 = 1;

pub const FRMSIZE_TYPE_DISCRETE: u32 = 1;
