//! A driver that does what drivers and cables do.

use super::super::*;
use crate::source::options::Colours;
use crate::stop::Stop;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a driver does at its next call for a frame.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A frame filled with this byte.
    Frame(u8),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A frame that the driver knows to be damaged.
    Error,
    /// Frames that nobody got.
    Lose(u32),
    /// A signal during the wait, and one during the call.
    Interrupt,
    /// A buffer that is ready and then is not.
    Again,
    /// Nothing, ever again.
    Stall,
    /// The cable is pulled.
    Unplug,
}

/// What all openings of one camera have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) acts: VecDeque<Act>,
    /// Errors of the next calls to open.
    pub(super) refusals: VecDeque<Errno>,
    pub(super) opened: u32,
    /// What the driver offers and makes of what it is asked.
    pub(super) codes: Vec<[u8; 4]>,
    pub(super) format: abi::PixFormat,
    pub(super) capabilities: u32,
    pub(super) asked: abi::PixFormat,
}

#[derive(Clone)]
pub(super) struct Rig(Arc<Mutex<Plan>>);

impl Rig {
    pub(super) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let format = abi::PixFormat { width: 4, height: 2, bytesperline: 6, field: 1, ..Default::default() };
        Self(Arc::new(Mutex::new(Plan {
            acts: acts.into_iter().collect(),
            refusals: VecDeque::new(),
            opened: 0,
            codes: vec![*b"MJPG", *b"YUYV", *b"NV12", *b"pBAA"],
            format,
            capabilities: abi::CAP_VIDEO_CAPTURE | abi::CAP_STREAMING,
            asked: abi::PixFormat::default(),
        })))
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(super) fn wanted() -> SourceOptions {
        SourceOptions {
            container: None,
            size: None,
            stride: None,
            rows: None,
            rate: None,
            colours: Colours::default(),
            exif: resnext_photo::Exif::Ignore,
            timeout: Duration::from_millis(80),
            realtime: false,
            stop: Stop::default(),
        }
    }

    /// As it is after it was opened.
    pub(super) fn device(&self) -> Box<dyn Device> {
        Box::new(Fake { rig: self.clone(), buffers: Vec::new(), queued: 0, sequence: 0 })
    }

    pub(super) fn camera(&self, wanted: SourceOptions) -> Result<Camera, SourceError> {
        let rig = self.clone();
        let open = move || {
            rig.with(|plan| {
                plan.opened += 1;
                plan.refusals.pop_front().map_or(Ok(()), Err)
            })?;
            Ok(rig.device())
        };
        let mut camera = Camera::new("fake".to_owned(), Box::new(open), wanted)?;
        camera.first_pause = Duration::from_millis(1);
        Ok(camera)
    }
}

struct Fake {
    rig: Rig,
    buffers: Vec<Vec<u8>>,
    queued: usize,
    sequence: u32,
}

impl Device for Fake {
    fn capability(&mut self) -> Result<abi::Capability, Errno> {
        let text = |text: &[u8], out: &mut [u8]| out[..text.len()].copy_from_slice(text);
        let capabilities = self.rig.with(|plan| plan.capabilities);
        let mut capability = abi::Capability {
            driver: [0; 16],
            card: [0; 32],
            bus_info: [0; 32],
            version: 0,
            capabilities,
            device_caps: 0,
            reserved: [0; 3],
        };
        text(b"fake", &mut capability.driver);
        // Not ended by a zero, and not UTF-8 either.
        text(&[b'x'; 31], &mut capability.card);
        capability.card[31] = 0xff;
        Ok(capability)
    }

    fn offered(&mut self, index: u32) -> Result<abi::FmtDesc, Errno> {
        let code = self.rig.with(|plan| plan.codes.get(index as usize).copied()).ok_or(Errno::INVAL)?;
        Ok(abi::FmtDesc { pixelformat: crate::source::v4l2::formats::code(&code), ..Default::default() })
    }

    fn size(&mut self, _: u32, index: u32) -> Result<abi::FrmSizeEnum, Errno> {
        let sizes = [[640, 480], [1280, 720]];
        let &[width, height] = sizes.get(index as usize).ok_or(Errno::INVAL)?;
        let kind = abi::FRMSIZE_TYPE_DISCRETE;
        Ok(abi::FrmSizeEnum { kind, sizes: [width, height, 0, 0, 0, 0], ..Default::default() })
    }

    fn set_format(&mut self, wanted: abi::PixFormat) -> Result<abi::PixFormat, Errno> {
        self.rig.with(|plan| {
            plan.asked = wanted;
            let pixelformat = wanted.pixelformat;
            Ok(abi::PixFormat { pixelformat, ..plan.format })
        })
    }

    fn set_interval(&mut self, _: [u32; 2]) -> Result<[u32; 2], Errno> {
        Ok([1, 25])
    }

    fn start(&mut self, buffers: u32) -> Result<(), Errno> {
        self.buffers = vec![Vec::new(); buffers as usize];
        self.queued = self.buffers.len();
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool, Errno> {
        assert!(self.queued > 0, "every buffer was given back");
        match self.rig.with(|plan| plan.acts.front().cloned()) {
            None => panic!("the test asks for more frames than it planned"),
            Some(Act::Stall) => {
                std::thread::sleep(timeout.min(Duration::from_millis(10)));
                Ok(false)
            }
            Some(Act::Interrupt) => {
                self.rig.with(|plan| plan.acts.pop_front());
                Err(Errno::INTR)
            }
            Some(Act::Unplug) => {
                self.rig.with(|plan| plan.acts.pop_front());
                Err(Errno::NODEV)
            }
            Some(_) => Ok(true),
        }
    }

    fn dequeue(&mut self) -> Result<Filled, Errno> {
        let act = self.rig.with(|plan| plan.acts.pop_front());
        let (bytes, flags) = match act {
            Some(Act::Frame(value)) => (vec![value; 18], 0),
            Some(Act::Bytes(bytes)) => (bytes, 0),
            Some(Act::Error) => (vec![0; 18], abi::BUF_FLAG_ERROR),
            Some(Act::Lose(frames)) => {
                self.sequence += frames;
                return Err(Errno::INTR);
            }
            _ => return Err(Errno::AGAIN),
        };
        self.queued -= 1;
        self.sequence += 1;
        let (index, used) = (0, bytes.len() as u32);
        self.buffers[0] = bytes;
        Ok(Filled { index, used, flags, sequence: self.sequence, timestamp: Duration::ZERO })
    }

    fn bytes(&self, filled: &Filled) -> &[u8] {
        &self.buffers[filled.index as usize]
    }

    fn queue(&mut self, _: Filled) -> Result<(), Errno> {
        self.queued += 1;
        Ok(())
    }
}
