//! The driver of a camera: a trait, so that tests can replace it, and its implementation by the kernel.

use super::abi;
use memmap2::{MmapOptions, MmapRaw};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, Updater, ioctl};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::slice;
use std::time::Duration;

/// The calls of V4L2 that capturing needs. Errors are those of the kernel. Any call may fail with `EINTR`.
pub trait Device: Send {
    /// `VIDIOC_QUERYCAP`.
    fn capability(&mut self) -> Result<abi::Capability, Errno>;

    /// `VIDIOC_ENUM_FMT`. Fails with `EINVAL` after the last format.
    fn offered(&mut self, index: u32) -> Result<abi::FmtDesc, Errno>;

    /// `VIDIOC_ENUM_FRAMESIZES`. Fails with `EINVAL` after the last size.
    fn size(&mut self, pixelformat: u32, index: u32) -> Result<abi::FrmSizeEnum, Errno>;

    /// `VIDIOC_S_FMT`. Returns the format that the driver chose.
    fn set_format(&mut self, wanted: abi::PixFormat) -> Result<abi::PixFormat, Errno>;

    /// `VIDIOC_S_PARM`. `wanted` is the seconds per frame, numerator and denominator. Returns what the driver chose.
    fn set_interval(&mut self, wanted: [u32; 2]) -> Result<[u32; 2], Errno>;

    /// Maps buffers, queues all of them and starts capturing. Dropping the device stops it.
    fn start(&mut self, buffers: u32) -> Result<(), Errno>;

    /// Waits until a buffer is filled. Returns false after the timeout.
    fn wait(&mut self, timeout: Duration) -> Result<bool, Errno>;

    /// `VIDIOC_DQBUF`. Takes a filled buffer, or fails with `EAGAIN`.
    fn dequeue(&mut self) -> Result<Filled, Errno>;

    /// Returns the bytes of a buffer that was taken, or none if it was not.
    fn bytes(&self, filled: &Filled) -> &[u8];

    /// `VIDIOC_QBUF`. Returns a buffer to the driver.
    fn queue(&mut self, filled: Filled) -> Result<(), Errno>;
}

/// A buffer that was taken from the driver.
#[derive(Debug)]
pub struct Filled {
    /// Index of the buffer.
    pub index: u32,
    /// Number of bytes of the frame.
    pub used: u32,
    /// `V4L2_BUF_FLAG_…`.
    pub flags: u32,
    /// Sequence number of the frame. Frames that the driver lost count.
    pub sequence: u32,
    /// Time of the capture, by the clock that the flags name.
    pub timestamp: Duration,
}

/// A device of this machine, driven by the kernel.
#[derive(Debug)]
pub struct Kernel {
    fd: OwnedFd,
    buffers: Vec<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    memory: MmapRaw,
    /// Whether the buffer is taken from the driver and not yet returned.
    taken: bool,
}

impl Kernel {
    /// Opens a device file.
    ///
    /// # Errors
    ///
    /// Returns the error of the kernel.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        // Non-blocking, so that only `wait` waits for a frame. It has a timeout.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, buffers: Vec::new() })
    }

    /// Calls the driver with a value that it may change.
    fn call<const CODE: Opcode, T>(&self, value: &mut T) -> Result<(), Errno> {
        // SAFETY: every `CODE` of `abi` is made from the type `T` that it is called with, so the kernel reads and writes
        // `size_of::<T>()` bytes. All of these types consist of plain numbers, for which any bytes are valid.
        unsafe { ioctl(&self.fd, Updater::<CODE, T>::new(value)) }
    }

    fn buffer(index: u32) -> abi::Buffer {
        let (kind, memory) = (abi::BUF_TYPE_VIDEO_CAPTURE, abi::MEMORY_MMAP);
        abi::Buffer { index, kind, memory, ..abi::Buffer::default() }
    }

    fn map(&self, index: u32) -> Result<Mapped, Errno> {
        let mut buffer = Self::buffer(index);
        self.call::<{ abi::QUERYBUF }, _>(&mut buffer)?;
        let mut options = MmapOptions::new();
        options.offset(buffer.m[0].into()).len(buffer.length as usize);
        let memory = options.map_raw_read_only(&self.fd);
        let errno = |error: std::io::Error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        Ok(Mapped { memory: memory.map_err(errno)?, taken: false })
    }
}

impl Device for Kernel {
    fn capability(&mut self) -> Result<abi::Capability, Errno> {
        let mut capability = abi::Capability {
            driver: [0; 16],
            card: [0; 32],
            bus_info: [0; 32],
            version: 0,
            capabilities: 0,
            device_caps: 0,
            reserved: [0; 3],
        };
        self.call::<{ abi::QUERYCAP }, _>(&mut capability)?;
        Ok(capability)
    }

    fn offered(&mut self, index: u32) -> Result<abi::FmtDesc, Errno> {
        let kind = abi::BUF_TYPE_VIDEO_CAPTURE;
        let mut format = abi::FmtDesc { index, kind, ..abi::FmtDesc::default() };
        self.call::<{ abi::ENUM_FMT }, _>(&mut format)?;
        Ok(format)
    }

    fn size(&mut self, pixel_format: u32, index: u32) -> Result<abi::FrmSizeEnum, Errno> {
        let mut size = abi::FrmSizeEnum { index, pixel_format, ..abi::FrmSizeEnum::default() };
        self.call::<{ abi::ENUM_FRAMESIZES }, _>(&mut size)?;
        Ok(size)
    }

    fn set_format(&mut self, wanted: abi::PixFormat) -> Result<abi::PixFormat, Errno> {
        let kind = abi::BUF_TYPE_VIDEO_CAPTURE;
        let (pad, rest) = (Default::default(), [0; _]);
        let mut format = abi::Format { kind, pad, pix: wanted, rest, align: [] };
        self.call::<{ abi::S_FMT }, _>(&mut format)?;
        Ok(format.pix)
    }

    fn set_interval(&mut self, wanted: [u32; 2]) -> Result<[u32; 2], Errno> {
        let mut parameters = abi::StreamParm {
            kind: abi::BUF_TYPE_VIDEO_CAPTURE,
            capability: 0,
            capturemode: 0,
            timeperframe: wanted,
            rest: [0; _],
        };
        self.call::<{ abi::S_PARM }, _>(&mut parameters)?;
        Ok(parameters.timeperframe)
    }

    fn start(&mut self, buffers: u32) -> Result<(), Errno> {
        let (kind, memory) = (abi::BUF_TYPE_VIDEO_CAPTURE, abi::MEMORY_MMAP);
        let mut request =
            abi::RequestBuffers { count: buffers, kind, memory, ..abi::RequestBuffers::default() };
        self.call::<{ abi::REQBUFS }, _>(&mut request)?;
        self.buffers = (0..request.count).map(|index| self.map(index)).collect::<Result<_, _>>()?;
        for index in 0..request.count {
            self.call::<{ abi::QBUF }, _>(&mut Self::buffer(index))?;
        }
        // SAFETY: `STREAMON` is made from `i32`, so the kernel reads one `int`.
        unsafe { ioctl(&self.fd, Setter::<{ abi::STREAMON }, i32>::new(kind as i32)) }
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool, Errno> {
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&timeout))? > 0;
        // An unplugged camera reports an error. Frames that can still be read come first.
        match ready && !fds[0].revents().contains(PollFlags::IN) {
            true => Err(Errno::NODEV),
            false => Ok(ready),
        }
    }

    fn dequeue(&mut self) -> Result<Filled, Errno> {
        let mut buffer = Self::buffer(0);
        self.call::<{ abi::DQBUF }, _>(&mut buffer)?;
        self.buffers.get_mut(buffer.index as usize).ok_or(Errno::IO)?.taken = true;
        let [seconds, micros] = buffer.timestamp.map(|part| u64::try_from(part).unwrap_or(0));
        Ok(Filled {
            index: buffer.index,
            used: buffer.bytesused,
            flags: buffer.flags,
            sequence: buffer.sequence,
            timestamp: Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)),
        })
    }

    fn bytes(&self, filled: &Filled) -> &[u8] {
        match self.buffers.get(filled.index as usize) {
            Some(Mapped { memory, taken: true }) => {
                let len = memory.len().min(filled.used as usize);
                // SAFETY: `len` bytes are mapped for as long as `self` lives. The driver does not write to a buffer that was
                // taken from it, and `queue`, which returns the buffer, needs `self` exclusively.
                unsafe { slice::from_raw_parts(memory.as_ptr(), len) }
            }
            _ => &[],
        }
    }

    fn queue(&mut self, filled: Filled) -> Result<(), Errno> {
        let mapped = self.buffers.get_mut(filled.index as usize).ok_or(Errno::INVAL)?;
        mapped.taken = false;
        self.call::<{ abi::QBUF }, _>(&mut Self::buffer(filled.index))
    }
}
