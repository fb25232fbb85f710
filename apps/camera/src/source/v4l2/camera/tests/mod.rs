//! Cameras on a fake driver.

mod fake;

use super::*;
use crate::raw_format::{PixelFormat, RawFormat};
use crate::source::options::{Colours, Container};
use crate::stop::Stop;
use fake::{Act, Plan, Rig};
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};

/// First bytes of the frames, and what was said between them, up to the first error or the end of the plan.
fn play(rig: &Rig, camera: &mut Camera) -> Vec<Result<u8, String>> {
    let mut captured = Captured::default();
    let mut seen = Vec::new();
    while rig.with(|plan| !plan.acts.is_empty()) {
        match camera.next(&mut captured) {
            Ok(Delivery::Frame) => seen.push(Ok(captured.bytes()[0])),
            Ok(Delivery::Damaged(what) | Delivery::Note(what)) => seen.push(Err(what)),
            Ok(Delivery::End) => break,
            Err(error) => {
                seen.push(Err(format!("over: {error}")));
                break;
            }
        }
    }
    seen
}

fn says(text: &str) -> Result<u8, String> {
    Err(text.to_owned())
}

#[test]
fn frames_come_in_the_format_that_costs_least() {
    let rig = Rig::new([Act::Frame(7), Act::Frame(8)]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    assert_eq!(play(&rig, &mut camera), [Ok(7), Ok(8)]);
    let asked = rig.with(|plan| plan.asked);
    assert_eq!((asked.width, asked.height, asked.field), (640, 480, abi::FIELD_NONE));
    assert_eq!(crate::source::v4l2::formats::spell(asked.pixelformat), "NV12");

    let mut captured = Captured::default();
    rig.with(|plan| plan.acts.push_back(Act::Frame(9)));
    assert_eq!(camera.next(&mut captured), Ok(Delivery::Frame));
    let yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };
    let tight = RawFormat::tight(PixelFormat::Nv12, 4, 2, yuv);
    assert_eq!(*captured.format(), RawFormat { stride: 6, ..tight }, "with the driver's stride");
}

#[test]
fn signals_and_false_alarms_are_nothing() {
    let rig =
        Rig::new([Act::Interrupt, Act::Again, Act::Frame(1), Act::Interrupt, Act::Again, Act::Frame(2)]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    assert_eq!(play(&rig, &mut camera), [Ok(1), Ok(2)]);
    assert_eq!(rig.with(|plan| plan.opened), 1);
}

#[test]
fn damaged_frames_are_told_and_left_out() {
    let rig =
        Rig::new([Act::Frame(1), Act::Error, Act::Bytes(vec![0; 5]), Act::Bytes(vec![]), Act::Frame(2)]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    let expected = [
        Ok(1),
        says("the driver reports a damaged frame"),
        says("a frame has 5 of its 18 bytes"),
        says("a frame has 0 of its 18 bytes"),
        Ok(2),
    ];
    assert_eq!(play(&rig, &mut camera), expected);
}

#[test]
fn frames_that_the_driver_lost_are_counted() {
    let rig = Rig::new([Act::Frame(1), Act::Lose(3), Act::Frame(2), Act::Frame(3)]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    let mut captured = Captured::default();
    let lost: Vec<_> = (0..3).map(|_| (camera.next(&mut captured).unwrap(), captured.lost).1).collect();
    assert_eq!(lost, [0, 3, 0]);
}

#[test]
fn an_unplugged_camera_is_reopened() {
    let rig = Rig::new([Act::Frame(1), Act::Unplug, Act::Frame(2)]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    rig.with(|plan| plan.refusals = [Errno::NOENT, Errno::ACCESS].into());
    let gone = "cannot be opened: it is gone; plug the camera in; trying again in 0.002 s";
    let refused = "cannot be opened: permission denied; add yourself to its group (sudo usermod -aG video $USER) and \
                   log in again; trying again in 0.004 s";
    let expected = [
        Ok(1),
        says("cannot be read: it is gone; plug the camera in; trying again in 0.001 s"),
        says(gone),
        says(refused),
        says("reopened"),
        Ok(2),
    ];
    assert_eq!(play(&rig, &mut camera), expected);
}

#[test]
fn a_stalled_camera_is_reopened_and_given_up_in_the_end() {
    let rig = Rig::new([Act::Frame(1), Act::Stall]);
    let wanted = SourceOptions { timeout: Duration::from_millis(20), ..Rig::wanted() };
    let mut camera = rig.camera(wanted).unwrap();
    let start = Instant::now();
    let seen = play(&rig, &mut camera);
    assert!(start.elapsed() < Duration::from_secs(20));
    let stalls =
        seen.iter().filter(|told| matches!(told, Err(told) if told.starts_with("no data for 0.02 s; ")));
    assert_eq!(stalls.count() as u32, MAX_REOPENINGS);
    assert!(
        matches!(seen.last(), Some(Err(told)) if told.starts_with("over: no data for 0.02 s; ")),
        "{seen:?}"
    );
    assert_eq!(rig.with(|plan| plan.opened), 1 + MAX_REOPENINGS);
}

#[test]
fn a_camera_that_gives_garbage_is_reopened() {
    let garbage = (0..MAX_DAMAGED).map(|i| Act::Bytes(vec![i as u8; 4]));
    let rig = Rig::new(garbage.chain([Act::Frame(5)]));
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    let seen = play(&rig, &mut camera);
    let last = &seen[seen.len() - 3..];
    assert!(matches!(&last[0], Err(told) if told.starts_with("delivers only damaged frames (")), "{seen:?}");
    assert_eq!(last[1..], [says("reopened"), Ok(5)]);
}

#[test]
fn the_pauses_double_up_to_eight_seconds() {
    let rig = Rig::new([]);
    let mut camera = rig.camera(Rig::wanted()).unwrap();
    camera.first_pause = FIRST_PAUSE;
    let pauses: Vec<_> = (1..=MAX_REOPENINGS)
        .map(|failures| {
            camera.failures = failures;
            camera.pause().as_secs_f32()
        })
        .collect();
    assert_eq!(pauses, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
}

#[test]
fn stopping_ends_a_wait_and_a_pause() {
    let stop = Stop::default();
    let rig = Rig::new([Act::Stall]);
    let wanted = SourceOptions { timeout: Duration::from_secs(100), stop: stop.clone(), ..Rig::wanted() };
    let mut camera = rig.camera(wanted).unwrap();
    camera.first_pause = Duration::from_secs(100);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            stop.set();
        });
        assert_eq!(camera.next(&mut Captured::default()), Ok(Delivery::End));
        (camera.streaming, camera.failures) = (None, 1);
        assert_eq!(camera.next(&mut Captured::default()), Ok(Delivery::End));
    });
}

#[test]
fn motion_jpeg_is_decoded() {
    let grey = resnext_photo::Rgb8Image { width: 8, height: 8, data: vec![200; 8 * 8 * 3] };
    let jpeg = grey.to_jpeg(95).unwrap();
    let rig = Rig::new([Act::Bytes([&jpeg[..], &[0; 9]].concat()), Act::Bytes(jpeg[..40].to_vec())]);
    let wanted = SourceOptions { container: Some(Container::Mjpeg), ..Rig::wanted() };
    let mut camera = rig.camera(wanted).unwrap();
    let seen = play(&rig, &mut camera);
    assert_eq!(seen[0], Ok(200));
    assert!(matches!(&seen[1], Err(told) if told.starts_with("a picture is damaged (")), "{seen:?}");
}

#[test]
fn what_cannot_be_read_is_refused_at_once() {
    type Change = dyn Fn(&mut Plan);
    let error = |change: &Change, wanted: SourceOptions| {
        let rig = Rig::new([]);
        rig.with(|plan| change(plan));
        rig.camera(wanted).err().expect("refused").to_string()
    };
    let nv21 = SourceOptions { container: Some(Container::Raw(PixelFormat::Nv21)), ..Rig::wanted() };
    let cases: [(&Change, SourceOptions, &str); 8] = [
        (
            &|plan| plan.codes = vec![*b"pBAA", *b"RG10"],
            Rig::wanted(),
            "offers no supported format, but pBAA, RG10; ",
        ),
        (&|_| {}, nv21, "does not offer that format, but MJPG, YUYV, NV12, pBAA; "),
        (
            &|plan| plan.format.field = 7,
            Rig::wanted(),
            "delivers the two fields of a frame apart, which is not supported; ",
        ),
        (&|plan| plan.format.width = 0, Rig::wanted(), "describes impossible frames of 0x2 pixels"),
        (
            &|plan| plan.format.bytesperline = 3,
            Rig::wanted(),
            "describes impossible frames of 4x2 pixels and rows of 3 bytes; ",
        ),
        (
            &|plan| plan.capabilities = abi::CAP_VIDEO_CAPTURE,
            Rig::wanted(),
            "is a video device but no camera; ",
        ),
        (
            &|plan| plan.capabilities = abi::CAP_VIDEO_CAPTURE_MPLANE | abi::CAP_STREAMING,
            Rig::wanted(),
            "delivers frames in several buffers, which is not supported; ",
        ),
        (
            &|plan| plan.refusals.push_back(Errno::BUSY),
            Rig::wanted(),
            "cannot be opened: another program uses it; ",
        ),
    ];
    for (change, wanted, start) in cases {
        let error = error(change, wanted);
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn sizes_and_rates_that_the_camera_changed_are_told() {
    let rig = Rig::new([Act::Frame(1)]);
    let wanted = SourceOptions { size: Some((1920, 1080)), rate: Some(30.0), ..Rig::wanted() };
    let mut camera = rig.camera(wanted).unwrap();
    let note = says("delivers 4x2 pixels instead of 1920x1080, delivers 25.00 frames per second");
    assert_eq!(play(&rig, &mut camera), [note, Ok(1)]);
}

#[test]
fn colours_are_what_the_driver_says_unless_the_user_does() {
    let yuv = |colorspace, ycbcr_enc, quantization, colours| {
        let rig = Rig::new([Act::Frame(1)]);
        rig.with(|plan| {
            let format = &mut plan.format;
            (format.colorspace, format.ycbcr_enc, format.quantization) =
                (colorspace, ycbcr_enc, quantization);
        });
        let mut camera = rig.camera(SourceOptions { colours, ..Rig::wanted() }).unwrap();
        let mut captured = Captured::default();
        camera.next(&mut captured).unwrap();
        let Yuv { matrix, range } = captured.format().yuv;
        (matrix, range)
    };
    use {YuvMatrix::*, YuvRange::*};
    let told = Colours::default();
    const SRGB: u32 = 8;
    assert_eq!(yuv(SRGB, 0, 0, told), (Bt601, Limited));
    assert_eq!(yuv(abi::COLORSPACE_REC709, 0, 0, told), (Bt709, Limited));
    assert_eq!(yuv(abi::COLORSPACE_JPEG, 0, 0, told), (Bt601, Full));
    assert_eq!(yuv(abi::COLORSPACE_JPEG, abi::YCBCR_ENC_709, 2, told), (Bt709, Limited));
    let user = Colours { matrix: Some(Bt709), range: Some(Full) };
    assert_eq!(yuv(SRGB, 0, 0, user), (Bt709, Full));
}

#[test]
fn cameras_are_described_whatever_they_call_themselves() {
    let listed =
        crate::source::v4l2::list::describe("/dev/video9".into(), Ok(Rig::new([]).device())).unwrap();
    assert_eq!((listed.driver.as_str(), listed.problem), ("fake", None));
    assert!(listed.name.starts_with("xxx") && listed.name.ends_with('\u{fffd}'));
    let formats: Vec<_> = listed.formats.iter().map(|offer| (offer.code.as_str(), offer.read)).collect();
    assert_eq!(formats, [("MJPG", true), ("YUYV", true), ("NV12", true), ("pBAA", false)]);
    assert_eq!(listed.formats[0].sizes, [[640, 480], [1280, 720]]);

    let codec = Rig::new([]);
    codec.with(|plan| plan.capabilities = 0x8000);
    assert_eq!(crate::source::v4l2::list::describe("/dev/video10".into(), Ok(codec.device())), None);
    let closed = crate::source::v4l2::list::describe("/dev/video0".into(), Err(Errno::ACCESS)).unwrap();
    assert!(closed.problem.unwrap().contains("usermod -aG video"));
}
