//! A pipeline that runs for long allocates nothing after the first frames, and its memory stays constant. This is the only test
//! in its program, so that nothing else runs at the same time.

use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use resnext::{Model, Pool, Runner};
use resnext_camera::show::{JsonLines, Style, Terminal};
use resnext_camera::smoothing::Smoothing;
use resnext_camera::source::{Colours, FrameSource, Raw, Stream, StreamInfo, Y4m};
use resnext_camera::{
    Health, Options, Picture, PixelFormat, RawFormat, Reading, Show, ShowError, Stop, Summary, run,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The allocator of the system. It counts the requests of all threads and the bytes in use.
struct Counting;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static IN_USE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the allocator of the system, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        IN_USE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        IN_USE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        IN_USE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `System`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// Number of frames after which nothing grows. By then each of the three buffers has held one, and the capture thread has set its
/// name.
const WARM: u64 = 20;

/// Reads the counters at every frame, except at the last ones: the thread that captures is a few frames ahead and frees its
/// memory at the end.
struct Watch {
    until: u64,
    frames: u64,
    warm: (u64, i64),
    last: (u64, i64),
}

impl Show for Watch {
    fn wants_picture(&self) -> bool {
        self.frames.is_multiple_of(3)
    }

    fn show(&mut self, _: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        assert_eq!(picture.is_some(), self.wants_picture());
        self.frames += 1;
        if self.frames <= self.until {
            self.last = (REQUESTS.load(Ordering::Relaxed), IN_USE.load(Ordering::Relaxed));
        }
        if self.frames == WARM {
            self.warm = self.last;
        }
        Ok(())
    }
}

/// Repeats some bytes, once for each frame.
struct Again {
    frame: Vec<u8>,
    at: usize,
    left: u64,
}

impl Read for Again {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let len = (self.frame.len() - self.at).min(out.len());
        out[..len].copy_from_slice(&self.frame[self.at..][..len]);
        self.at += len;
        if self.at == self.frame.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(len)
    }
}

fn play(
    model: &Model<'_>,
    source: &mut dyn FrameSource,
    smoothing: Smoothing,
    every_frame: bool,
    frames: u64,
) -> (Watch, Summary) {
    let mut arena = vec![0; model.arena_len()];
    let pool = Pool::new(2).unwrap();
    let mut runner = Runner::new(model, &mut arena).unwrap().with_workers(&pool);
    let options = Options {
        model: "small",
        top_k: 5,
        smoothing,
        frames: None,
        every_frame,
        health: &|| Health { temperature_c: Some(50.0), slowed: None },
        note: &|note| panic!("{note}"),
        stop: Stop::default(),
    };
    let mut json = JsonLines::new(io::sink(), model);
    let mut line = Terminal::new(io::sink(), Style::Updating { width: 80 });
    let mut log = Terminal::new(io::sink(), Style::Changes);
    let mut watch = Watch { until: frames - 10, frames: 0, warm: (0, 0), last: (0, 0) };
    let summary =
        run(source, &mut runner, options, &mut [&mut json, &mut line, &mut log, &mut watch]).unwrap();
    (watch, summary)
}

fn kind(live: bool) -> StreamInfo {
    StreamInfo { name: "test".to_owned(), live, ..StreamInfo::default() }
}

const YUV: Yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };

fn raw(pixels: PixelFormat, (width, height): (u32, u32), frames: u64, live: bool) -> Raw<Again> {
    let format = RawFormat::tight(pixels, width, height, YUV);
    let frame = (0..format.frame_len().unwrap()).map(|i| (i * i / 127) as u8).collect();
    Raw::new(Stream::new(Again { frame, at: 0, left: frames }), kind(live), format).unwrap()
}

/// The sizes of frames. The arena of the small model is too small to preprocess the large one.
const SIZES: [(u32, u32); 2] = [(61, 47), (1280, 720)];

#[test]
fn nothing_is_allocated_and_memory_stays_as_it_is() {
    let artifact = resnext_testing::small().bytes;
    let model = Model::from_bytes(&artifact).unwrap();
    let smoothings =
        [Smoothing::None, Smoothing::Exponential { frames: 5 }, Smoothing::Majority { frames: 9 }];

    use PixelFormat::*;
    for (index, pixels) in
        [Nv12, Nv21, I420, Yv12, I422, I444, Yuyv, Uyvy, Grey, Rgb, Bgr, Rgbx].into_iter().enumerate()
    {
        let size = SIZES[usize::from(index % 4 == 3)];
        // The thread of the test harness may allocate at the same time, so the least of several runs counts.
        let requests = (0..5).map(|_| {
            let mut source = raw(pixels, size, 60, false);
            let (watch, summary) = play(&model, &mut source, smoothings[index % 3], false, 60);
            assert_eq!((summary.frames, summary.dropped, watch.frames), (60, 0, 60));
            watch.last.0 - watch.warm.0
        });
        assert!(requests.into_iter().any(|requests| requests == 0), "{pixels}");
    }

    // Long runs: with the frames of a file, and with those of a camera that is faster than the model.
    let frames = 10_000;
    let header = b"YUV4MPEG2 W24 H18 F30:1 C420jpeg\n";
    let one = [&b"FRAME\n"[..], &[90; 24 * 18 * 3 / 2]].concat();
    let stream = Stream::new(header.chain(Again { frame: one, at: 0, left: frames }));
    let mut y4m = Y4m::new(stream, kind(false), Colours::default()).unwrap();
    let before = resident();
    let (watch, summary) = play(&model, &mut y4m, smoothings[1], false, frames);
    assert_eq!((summary.frames, summary.dropped, summary.damaged), (frames, 0, 0));
    assert!(watch.last.0 - watch.warm.0 < 100, "{} requests in {frames} frames", watch.last.0 - watch.warm.0);
    assert!((watch.last.1 - watch.warm.1).abs() < 4096, "{} bytes more", watch.last.1 - watch.warm.1);
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more of physical memory");

    let mut camera = raw(Yuyv, (24, 18), frames, true);
    let (watch, summary) = play(&model, &mut camera, smoothings[2], false, frames);
    assert_eq!(summary.frames + summary.dropped, frames, "every frame is classified or counted");
    assert!(summary.frames > 0 && summary.damaged == 0);
    assert!((watch.last.1 - watch.warm.1).abs() < 4096 || watch.frames < WARM);
    let (_, summary) = play(&model, &mut raw(Yuyv, (24, 18), 500, true), smoothings[0], true, 500);
    assert_eq!((summary.frames, summary.dropped), (500, 0), "every frame of a camera, if that is wanted");
}

/// Returns the physical memory of this process, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    resident * 4096
}
