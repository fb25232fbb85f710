//! Our layouts and numbers of V4L2 equal those in the header of the kernel, according to a C compiler.

use resnext_camera::source::v4l2::abi;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::process::Command;

/// The compiler of the machine that runs the tests. They may be compiled for another machine.
fn header() -> Option<String> {
    let program = r#"
        #include <linux/videodev2.h>
        #include <stddef.h>
        #include <stdio.h>
        #define SHOW(x) printf("%s %llu\n", #x, (unsigned long long)(x))
        int main(void) {
            NAMES
            return 0;
        }
    "#;
    let names: String = ours().iter().fold(String::new(), |mut all, (name, _)| {
        let _ = writeln!(all, "SHOW({name});");
        all
    });
    let folder = tempfile::tempdir().unwrap();
    let (source, binary) = (folder.path().join("abi.c"), folder.path().join("abi"));
    std::fs::write(&source, program.replace("NAMES", &names)).unwrap();
    let compiled = Command::new("cc").arg(&source).arg("-o").arg(&binary).output().ok()?;
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&binary).output().unwrap();
    assert!(ran.status.success());
    Some(String::from_utf8(ran.stdout).unwrap())
}

/// An expression in C, and our value for it.
fn ours() -> Vec<(&'static str, u64)> {
    let mut ours = Vec::new();
    macro_rules! layout {
        ($c:literal = $rust:ident { $($field:literal = $ours:ident),* $(,)? }) => {
            ours.push((concat!("sizeof(struct ", $c, ")"), size_of::<abi::$rust>() as u64));
            $(ours.push((
                concat!("offsetof(struct ", $c, ", ", $field, ")"),
                offset_of!(abi::$rust, $ours) as u64,
            ));)*
        };
    }
    macro_rules! numbers {
        ($($c:literal = $rust:ident),* $(,)?) => { $(ours.push(($c, u64::from(abi::$rust)));)* };
    }
    layout!("v4l2_capability" = Capability {
        "card" = card, "capabilities" = capabilities, "device_caps" = device_caps
    });
    layout!("v4l2_fmtdesc" = FmtDesc { "type" = kind, "pixelformat" = pixelformat, "mbus_code" = mbus_code });
    layout!("v4l2_frmsizeenum" = FrmSizeEnum { "pixel_format" = pixel_format, "type" = kind, "discrete" = sizes });
    layout!("v4l2_format" = Format { "type" = kind, "fmt.pix" = pix });
    layout!("v4l2_pix_format" = PixFormat {
        "pixelformat" = pixelformat, "field" = field, "bytesperline" = bytesperline, "sizeimage" = sizeimage,
        "colorspace" = colorspace, "priv" = private, "flags" = flags, "ycbcr_enc" = ycbcr_enc,
        "quantization" = quantization, "xfer_func" = xfer_func,
    });
    layout!("v4l2_requestbuffers" = RequestBuffers { "count" = count, "type" = kind, "memory" = memory });
    layout!("v4l2_buffer" = Buffer {
        "index" = index, "type" = kind, "bytesused" = bytesused, "flags" = flags, "timestamp" = timestamp,
        "sequence" = sequence, "memory" = memory, "m.offset" = m, "length" = length, "request_fd" = request_fd,
    });
    layout!("v4l2_streamparm" = StreamParm {
        "parm.capture.capability" = capability, "parm.capture.timeperframe" = timeperframe,
    });
    numbers! {
        "VIDIOC_QUERYCAP" = QUERYCAP, "VIDIOC_ENUM_FMT" = ENUM_FMT, "VIDIOC_S_FMT" = S_FMT, "VIDIOC_REQBUFS" = REQBUFS,
        "VIDIOC_QUERYBUF" = QUERYBUF, "VIDIOC_QBUF" = QBUF, "VIDIOC_DQBUF" = DQBUF, "VIDIOC_STREAMON" = STREAMON,
        "VIDIOC_S_PARM" = S_PARM, "VIDIOC_ENUM_FRAMESIZES" = ENUM_FRAMESIZES,
        "V4L2_BUF_TYPE_VIDEO_CAPTURE" = BUF_TYPE_VIDEO_CAPTURE, "V4L2_MEMORY_MMAP" = MEMORY_MMAP,
        "V4L2_PIX_FMT_PRIV_MAGIC" = PIX_FMT_PRIV_MAGIC, "V4L2_CAP_VIDEO_CAPTURE" = CAP_VIDEO_CAPTURE,
        "V4L2_CAP_VIDEO_CAPTURE_MPLANE" = CAP_VIDEO_CAPTURE_MPLANE, "V4L2_CAP_STREAMING" = CAP_STREAMING,
        "V4L2_CAP_DEVICE_CAPS" = CAP_DEVICE_CAPS, "V4L2_BUF_FLAG_ERROR" = BUF_FLAG_ERROR,
        "V4L2_BUF_FLAG_TIMESTAMP_MASK" = BUF_FLAG_TIMESTAMP_MASK,
        "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC" = BUF_FLAG_TIMESTAMP_MONOTONIC,
        "V4L2_FIELD_ANY" = FIELD_ANY, "V4L2_FIELD_NONE" = FIELD_NONE, "V4L2_FIELD_INTERLACED" = FIELD_INTERLACED,
        "V4L2_FIELD_INTERLACED_TB" = FIELD_INTERLACED_TB, "V4L2_FIELD_INTERLACED_BT" = FIELD_INTERLACED_BT,
        "V4L2_COLORSPACE_REC709" = COLORSPACE_REC709, "V4L2_COLORSPACE_JPEG" = COLORSPACE_JPEG,
        "V4L2_COLORSPACE_DCI_P3" = COLORSPACE_DCI_P3, "V4L2_YCBCR_ENC_DEFAULT" = YCBCR_ENC_DEFAULT,
        "V4L2_YCBCR_ENC_709" = YCBCR_ENC_709, "V4L2_YCBCR_ENC_XV709" = YCBCR_ENC_XV709,
        "V4L2_QUANTIZATION_DEFAULT" = QUANTIZATION_DEFAULT,
        "V4L2_QUANTIZATION_FULL_RANGE" = QUANTIZATION_FULL_RANGE,
        "V4L2_FRMSIZE_TYPE_DISCRETE" = FRMSIZE_TYPE_DISCRETE,
    }
    ours
}

#[test]
fn layouts_and_numbers_are_the_headers() {
    let Some(header) = header() else {
        assert!(std::env::var_os("CI").is_none(), "cc is missing and CI must have it");
        eprintln!("skipped: there is no C compiler here");
        return;
    };
    for ((name, ours), line) in ours().into_iter().zip(header.lines()) {
        // Quoting keeps the preprocessor from replacing the name of a macro.
        assert_eq!(line, format!("{name} {ours}"));
    }
    assert_eq!(header.lines().count(), ours().len());
}
