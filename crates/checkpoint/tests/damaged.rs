//! Damaged and hostile checkpoints give an error or other tensors, never a panic, a hang or excessive use of memory.
//!
//! This changes every byte of every fixture and runs in seconds. `fuzz/` searches further.

use std::fs;
use std::path::Path;

use resnext_checkpoint::{FileBytes, FileError, read};

/// Returns every checkpoint in the fixtures.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = fs::read_dir(directory).expect("fixtures").map(|entry| entry.expect("readable").path());
    let checkpoints = files.filter(|path| path.extension().is_some_and(|e| e != "py" && e != "md"));
    let read = |path: &Path| fs::read(path).expect("readable");
    checkpoints.map(|path| (path.file_name().expect("a file").display().to_string(), read(&path))).collect()
}

/// Reads all tensors. Returns the number of their elements.
fn exhaust(name: &str, bytes: Vec<u8>) -> Option<usize> {
    let len = bytes.len();
    match read(FileBytes::from(bytes)) {
        Ok(file) => {
            let names: Vec<_> = file.names().map(str::to_owned).collect();
            let tensors = names.iter().filter_map(|name| file.get(name)?.data.as_ref().ok());
            // No tensor is larger than its file, in which an element has at least two bytes.
            Some(
                tensors.map(|tensor| tensor.read().len()).inspect(|&n| assert!(2 * n <= len, "{name}")).sum(),
            )
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("; ") && !line.contains('\n') && line.len() < 2000, "{name}: {line}");
            None
        }
    }
}

#[test]
fn no_truncation_panics() {
    for (name, bytes) in fixtures() {
        for len in 0..bytes.len() {
            exhaust(&name, bytes[..len].to_vec());
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    for (name, bytes) in fixtures() {
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                exhaust(&name, damaged);
            }
        }
    }
}

#[test]
fn no_removed_or_repeated_piece_panics() {
    for (name, bytes) in fixtures() {
        for at in 0..bytes.len() {
            for len in [1, 16] {
                let end = (at + len).min(bytes.len());
                exhaust(&name, [&bytes[..at], &bytes[end..]].concat());
                exhaust(&name, [&bytes[..end], &bytes[at..]].concat());
            }
        }
    }
}

/// Returns the pickle of a dictionary. The values are programs.
fn pickle(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x80\x02}".to_vec();
    for (key, value) in pairs {
        file.extend([b'U', key.len() as u8]);
        file.extend(key.as_bytes());
        file.extend(value);
        file.push(b's');
    }
    file.push(b'.');
    file
}

/// Returns the program of an array of float32. `shape` and `data` are programs too.
fn array(shape: &[u8], data: &[u8]) -> Vec<u8> {
    let reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R";
    let dtype =
        b"cnumpy\ndtype\nU\x02f4\x89\x88\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb";
    [&reconstruct[..], b"(K\x01", shape, dtype, b"\x89", data, b"tb"].concat()
}

/// Returns the message for a file that is refused.
fn error(file: Vec<u8>) -> String {
    let error: FileError = read(FileBytes::from(file)).expect_err("hostile");
    error.to_string()
}

#[test]
fn absurd_sizes_are_named() {
    let data = b"U\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(exhaust("sound", pickle(&[("w", array(b"K\x02K\x02\x86", data))])), Some(4));
    let cases: [(&[u8], &str); 5] = [
        (b"K\x02K\x03\x86", "it needs 24 bytes and its storage has 16; download the file again"),
        (b"\x8a\x08\0\0\0\0\0\0\0\x7fK\x02\x86", "it is larger than any memory"),
        (b"\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40K\x00\x87", "it is larger than any memory"),
        (b"J\xff\xff\xff\xff\x85", "its sizes are not up to 8 numbers from zero"),
        (b"(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t", "its sizes are not up to 8 numbers from zero"),
    ];
    for (shape, expected) in cases {
        let line = error(pickle(&[("w", array(shape, data))]));
        assert!(line.contains(&format!("tensor `w`: {expected}")), "{line}");
    }
    assert!(error(pickle(&[("w", array(b"K\x02\x85", b"K\x05"))])).contains("not written as bytes"));
}

#[test]
fn harm_is_named_wherever_it_is() {
    let cases: [(&[u8], &str); 6] = [
        (b"cos\nsystem\nU\x04true\x85R", "os.system"),
        (b"csubprocess\nPopen\n)R", "subprocess.Popen"),
        // Naming it is enough.
        (b"csys\nexit\n", "sys.exit"),
        // Paddle evaluates tensors, but only as eval('data', {'data': array}).
        (b"c__builtin__\neval\nU\x03foo}U\x04dataK\x01s\x86R", "__builtin__.eval"),
        (b"\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R", "builtins.eval"),
        // An unknown function that would make a weight.
        (b"cmalicious\nloader\n)R", "malicious.loader"),
    ];
    for (program, name) in cases {
        let expected = format!("it wants to run `{name}`, which makes no tensor; ");
        for file in [pickle(&[("w", program.to_vec())]), [b"\x80\x04", program, b"."].concat()] {
            // A name alone holds no weights.
            let line = error(file);
            assert!(line.contains(&expected), "{line}");
        }
    }
    // Messages escape the characters of names.
    assert!(!error(pickle(&[("w", b"\x8c\x03a\nb\x8c\x01c\x93)R".to_vec())])).contains('\n'));
}

#[test]
fn unknown_classes_may_stand_beside_the_weights() {
    let weights = [&b"}U\x01w"[..], &array(b"K\x01\x85", b"U\x04\0\0\0\0"), b"s"].concat();
    let unknown = b"cmmcv\nConfig\n)R".to_vec();
    let file = pickle(&[("meta", unknown.clone()), ("state_dict", weights.clone())]);
    assert_eq!(exhaust("beside", file), Some(1));
    let among = [&weights[..], b"U\x01x", &unknown, b"s"].concat();
    assert!(error(pickle(&[("state_dict", among)])).contains("mmcv.Config"));
}

#[test]
fn nesting_and_sharing_are_harmless() {
    assert!(error(b"\x80\x02}q\x00U\x05modelh\x00s.".to_vec()).contains("nested too deeply"));
    let depth = 100_000;
    let wrapper = b"ctorch._utils\n_rebuild_parameter\nq\x00";
    let nested = [&wrapper[..], &b"h\x00".repeat(depth - 1), b"N", &b"\x85R".repeat(depth)].concat();
    assert!(error(pickle(&[("w", nested)])).contains("no weights"));
    // An array under many names is one array.
    let first = array(b"K\x02\x85", b"c_codecs\nencode\nq\x01X\x08\0\0\0abcdabcdq\x02U\x06latin1q\x03\x86R");
    let mut many = vec![("0".to_owned(), [&first[..], b"q\x00"].concat())];
    many.extend((1..1000).map(|i| (i.to_string(), b"h\x00".to_vec())));
    let borrowed = |pairs: &[(String, Vec<u8>)]| -> Vec<u8> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        pickle(&pairs)
    };
    assert_eq!(exhaust("shared", borrowed(&many)), Some(2000));
    // Text that many arrays share would have to be checked for each of them.
    let next = array(b"K\x02\x85", b"h\x01h\x02h\x03\x86R");
    many.truncate(1);
    many.extend((1..1000).map(|i| (i.to_string(), next.clone())));
    assert_eq!(exhaust("shared text", borrowed(&many)), Some(2000));
    let long = [&b"X\x00\x00\x10\x00"[..], &[b'a'; 1 << 20], b"q\x02"].concat();
    let first =
        array(b"K\x02\x85", &[b"c_codecs\nencode\nq\x01", &long[..], b"U\x06latin1q\x03\x86R"].concat());
    many[0].1 = first.clone();
    let tied = [("a", [&first[..], b"q\x00"].concat()), ("b", b"h\x00".to_vec())];
    assert_eq!(exhaust("tied", pickle(&tied)), Some(4));
    assert!(error(borrowed(&many)).contains("shares its bytes with many others"));
}
