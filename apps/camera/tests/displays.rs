//! Framebuffers in files, panels in memory, snapshots, and displays on their own threads.

mod support;

use embedded_graphics::mock_display::MockDisplay;
use embedded_graphics::pixelcolor::Rgb565;
use resnext_camera::display::framebuffer::{Mode, ModeError, PixelLayout};
use resnext_camera::display::{Canvas, Detached, Framebuffer, Panel, SnapshotFormat, Snapshots};
use resnext_camera::{Picture, Reading, Show, ShowError};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{landscape, plain, reading};

fn expected(mode: &Mode, image: &support::Image) -> Vec<[u8; 3]> {
    let mut canvas = Canvas::new(mode.width, mode.height);
    canvas.compose(&reading(), Some(&image.picture()));
    canvas.rgb().chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect()
}

/// On a screen in a mapped file with padded rows, every visible pixel is right and no other byte changes.
fn shows_on(
    format: PixelLayout,
    offset: usize,
    gap: usize,
    decode: impl Fn(&[u8]) -> [u8; 3],
    mask: [u8; 3],
) {
    let (width, height) = (321, 121);
    let stride = width as usize * format.bytes() + gap;
    let mode = Mode { width, height, stride, offset, format };
    let length = offset + stride * height as usize + 7;
    let before: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &before).unwrap();
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(file.path()).unwrap();
    // SAFETY: the file belongs to this test, and nobody truncates it.
    let memory = unsafe { memmap2::MmapMut::map_mut(&opened).unwrap() };
    let image = landscape(160, 120);
    let mut screen = Framebuffer::new(mode, memory).unwrap();
    assert!(screen.wants_picture());
    screen.show(&reading(), Some(&image.picture())).unwrap();
    let shown = std::fs::read(file.path()).unwrap();
    let expected = expected(&mode, &image);
    let row = width as usize * format.bytes();
    for (i, (byte, old)) in shown.iter().zip(&before).enumerate() {
        let visible = i >= offset && (i - offset) % stride < row && (i - offset) / stride < height as usize;
        assert!(visible || byte == old, "byte {i} is not ours");
    }
    for (y, line) in shown[offset..].chunks(stride).take(height as usize).enumerate() {
        for (x, pixel) in line[..row].chunks(format.bytes()).enumerate() {
            let expected = expected[y * width as usize + x];
            let expected: [u8; 3] = std::array::from_fn(|c| expected[c] & mask[c]);
            assert_eq!(decode(pixel), expected, "at {x}, {y}");
        }
    }
    drop(screen);
    assert_eq!(std::fs::read(file.path()).unwrap(), before, "the screen gets back what it showed");
}

fn rgb565(pixel: &[u8]) -> [u8; 3] {
    let pixel = u16::from_le_bytes([pixel[0], pixel[1]]);
    [(pixel >> 11 << 3) as u8, (pixel >> 5 << 2) as u8, (pixel << 3) as u8]
}

#[test]
fn framebuffers_of_both_formats_and_odd_strides() {
    for (offset, gap) in [(0, 0), (3, 0), (0, 2), (4099, 13)] {
        shows_on(PixelLayout::RGB565, offset, gap, rgb565, [0xF8, 0xFC, 0xF8]);
        shows_on(PixelLayout::XRGB8888, offset, gap, |pixel| [pixel[2], pixel[1], pixel[0]], [0xFF; 3]);
    }
}

#[test]
fn modes_that_do_not_fit_their_memory() {
    let mode = Mode { width: 10, height: 10, stride: 20, offset: 5, format: PixelLayout::RGB565 };
    let open = |mode: Mode, bytes: usize| Framebuffer::new(mode, vec![0u8; bytes]).map(drop);
    assert_eq!(open(mode, 205), Ok(()));
    assert_eq!(open(mode, 204), Err(ModeError::Memory { has: 204, needs: 205 }));
    assert_eq!(open(Mode { stride: 19, ..mode }, 300), Err(ModeError::Stride(19)));
    assert_eq!(open(Mode { width: 0, ..mode }, 300), Err(ModeError::Size(0, 10)));
    assert_eq!(open(Mode { height: 1 << 20, ..mode }, 300), Err(ModeError::Size(10, 1 << 20)));
    let huge = Mode { stride: usize::MAX / 2, ..mode };
    assert!(matches!(open(huge, 300), Err(ModeError::Memory { needs: usize::MAX, .. })));
}

#[test]
fn panels_show_what_the_canvas_shows() {
    let image = plain(8, 8, [255, 0, 0]);
    let mut display = MockDisplay::<Rgb565>::new();
    display.set_allow_overdraw(true);
    let mut panel = Panel::new(display);
    panel.show(&reading(), Some(&image.picture())).unwrap();
    let mode = Mode { width: 64, height: 64, stride: 0, offset: 0, format: PixelLayout::RGB565 };
    for (i, [r, g, b]) in expected(&mode, &image).into_iter().enumerate() {
        let at = embedded_graphics::geometry::Point::new(i as i32 % 64, i as i32 / 64);
        let color = Rgb565::from(embedded_graphics::pixelcolor::Rgb888::new(r, g, b));
        assert_eq!(panel.target().get_pixel(at), Some(color), "at {at}");
    }
}

#[test]
fn snapshots_are_pngs_or_jpegs_now_and_then() {
    let image = landscape(64, 48);
    let saved = |format| {
        let saved = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let theirs = Arc::clone(&saved);
        let mut snapshots = Snapshots::new(Duration::from_secs(3600), format, move |picture| {
            theirs.lock().unwrap().push(picture.to_vec());
            Ok(())
        });
        assert!(snapshots.wants_picture());
        snapshots.show(&reading(), Some(&image.picture())).unwrap();
        assert!(!snapshots.wants_picture(), "not for an hour");
        snapshots.show(&reading(), Some(&image.picture())).unwrap();
        let saved = saved.lock().unwrap();
        assert_eq!(saved.len(), 1);
        saved[0].clone()
    };
    let [png, jpeg] = [SnapshotFormat::Png, SnapshotFormat::Jpeg].map(saved);
    let reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (320, 240), "enlarged for the text");
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]));
    let [png, jpeg] = [png, jpeg].map(|bytes| resnext_photo::Rgb8Image::decode(&bytes).unwrap());
    assert_eq!((jpeg.width, jpeg.height), (320, 240));
    let differences = png.data.iter().zip(&jpeg.data).map(|(a, b)| u64::from(a.abs_diff(*b)));
    assert!(differences.sum::<u64>() < 4 * png.data.len() as u64, "the same picture");
}

/// A display that wants a picture after a pause gets one with the next frame, not with the one after it.
#[test]
fn a_display_that_pauses_gets_each_frame_of_a_slow_pipeline() {
    let saved = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&saved);
    let snapshots = Snapshots::new(Duration::from_millis(20), SnapshotFormat::Png, move |_| {
        *theirs.lock().unwrap() += 1;
        Ok(())
    });
    let mut display = Detached::new("snapshots", snapshots).unwrap();
    let image = plain(4, 4, [1, 2, 3]);
    for frame in 0..4 {
        std::thread::sleep(Duration::from_millis(250));
        assert!(display.wants_picture(), "frame {frame}");
        display.show(&Reading { frame, ..reading() }, Some(&image.picture())).unwrap();
    }
    drop(display);
    assert_eq!(*saved.lock().unwrap(), 4);
}

/// Reports what it is shown, and waits for a message before it continues.
struct Slow {
    shown: mpsc::Sender<(u64, String, Option<usize>)>,
    go_on: mpsc::Receiver<Result<(), ShowError>>,
}

impl Show for Slow {
    fn wants_picture(&self) -> bool {
        true
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let label = reading.top.iter().map(|prediction| prediction.label).collect::<Vec<_>>().join("|");
        self.shown.send((reading.frame, label, picture.map(|picture| picture.rgb.len()))).unwrap();
        self.go_on.recv().unwrap()
    }
}

#[test]
fn a_slow_display_does_not_hold_up_the_pipeline() {
    let (shown, receive) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let mut display = Detached::new("slow", Slow { shown, go_on }).unwrap();
    let image = plain(4, 4, [1, 2, 3]);
    let mut show = |frame| {
        let wanted = display.wants_picture();
        let picture = wanted.then(|| image.picture());
        display.show(&Reading { frame, ..reading() }, picture.as_ref()).map(|()| wanted)
    };
    assert!(show(1).unwrap());
    let labels = support::TOP.map(|prediction| prediction.label).join("|");
    assert_eq!(receive.recv().unwrap(), (1, labels.clone(), Some(48)));
    let start = Instant::now();
    for frame in 2..1000 {
        assert!(!show(frame).unwrap(), "busy: no picture is wanted");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let_go.send(Ok(())).unwrap();
    // The display becomes free a moment later. It shows the next frame and none of those in between.
    let frame = (1000..).find(|&frame| {
        std::thread::sleep(Duration::from_millis(1));
        show(frame).unwrap()
    });
    assert_eq!(receive.recv().unwrap(), (frame.unwrap(), labels, Some(48)));
    let_go.send(Err(ShowError::Closed)).unwrap();
    let error = (5000..).find_map(|frame| {
        std::thread::sleep(Duration::from_millis(1));
        show(frame).err()
    });
    assert!(matches!(error, Some(ShowError::Closed)));
    drop(let_go);
}

/// A display that becomes free after it was asked for a picture must not show a black frame.
#[test]
fn a_display_that_wants_pictures_is_shown_nothing_without() {
    let (shown, receive) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let mut display = Detached::new("slow", Slow { shown, go_on }).unwrap();
    let image = plain(4, 4, [1, 2, 3]);
    display.show(&Reading { frame: 1, ..reading() }, None).unwrap();
    display.show(&Reading { frame: 2, ..reading() }, Some(&image.picture())).unwrap();
    assert_eq!(receive.recv().unwrap().0, 2);
    let_go.send(Ok(())).unwrap();
}
