use super::*;

/// Reads a program without its final STOP.
fn value(program: &[u8]) -> Result<Value, PickleError> {
    let file = [program, b"."].concat();
    load(&file, 0).map(|(pickle, end)| {
        assert_eq!(end, file.len());
        pickle.root
    })
}

#[test]
fn numbers_of_every_protocol() {
    let cases: [(&[u8], Value); 19] = [
        (b"N", Value::None),
        (b"\x88", Value::Bool(true)),
        (b"\x89", Value::Bool(false)),
        (b"I01\n", Value::Bool(true)),
        (b"I00\n", Value::Bool(false)),
        (b"I-12\n", Value::Int(-12)),
        (b"L7L\n", Value::Int(7)),
        (b"L123456789012345678901234567890L\n", Value::Unread),
        (b"F-1.5\n", Value::Float(-1.5)),
        (b"Fx\n", Value::Unread),
        (b"K\xff", Value::Int(255)),
        (b"M\xff\xff", Value::Int(65535)),
        (b"J\xfe\xff\xff\xff", Value::Int(-2)),
        (b"\x8a\x00", Value::Int(0)),
        (b"\x8a\x02\xff\x00", Value::Int(255)),
        (b"\x8a\x01\xff", Value::Int(-1)),
        (b"\x8b\x08\0\0\0\0\0\0\0\0\0\0\x80", Value::Int(i64::MIN)),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01", Value::Long(Span { start: 2, len: 9 })),
        (b"G\xbf\xf8\0\0\0\0\0\0", Value::Float(-1.5)),
    ];
    for (program, expected) in cases {
        assert_eq!(value(program), Ok(expected), "{}", program.escape_ascii());
    }
}

#[test]
fn text_and_bytes_stay_in_the_file() {
    let text: [&[u8]; 4] = [b"X\x02\0\0\0ab", b"\x8c\x02ab", b"\x8d\x02\0\0\0\0\0\0\0ab", b"Vab\n"];
    let bytes: [&[u8]; 7] = [
        b"B\x02\0\0\0ab",
        b"C\x02ab",
        b"T\x02\0\0\0ab",
        b"U\x02ab",
        b"\x8e\x02\0\0\0\0\0\0\0ab",
        b"\x96\x02\0\0\0\0\0\0\0ab",
        b"S'ab'\n",
    ];
    for program in text.iter().chain(&bytes) {
        let file = [program, &b"."[..]].concat();
        let (pickle, _) = load(&file, 0).unwrap();
        assert_eq!(matches!(pickle.root, Value::Text(_)), text.contains(program));
        assert_eq!(pickle.name(pickle.root), Some("ab"), "{}", program.escape_ascii());
    }
    for escaped in [&b"Va\\u0100\n"[..], b"Va\xe9\n", b"S'\\x00'\n"] {
        assert_eq!(value(escaped), Ok(Value::Unread));
    }
}

/// Describes a value and everything in it in one line.
fn show(pickle: &Pickle<'_>, value: Value) -> String {
    let list = |values: &[Value]| values.iter().map(|&v| show(pickle, v)).collect::<Vec<_>>().join(", ");
    let dict = |pairs: &[(Value, Value)]| {
        let pairs = pairs.iter().map(|&(k, v)| format!("{}: {}", show(pickle, k), show(pickle, v)));
        pairs.collect::<Vec<_>>().join(", ")
    };
    match (value, pickle.object(value)) {
        (Value::Int(n), _) => n.to_string(),
        (Value::Text(_) | Value::Bytes(_), _) => format!("{:?}", pickle.name(value).unwrap()),
        (_, Some(Object::List(values))) => format!("[{}]", list(values)),
        (_, Some(Object::Tuple(values))) => format!("({})", list(values)),
        (_, Some(Object::Dict(pairs))) => format!("{{{}}}", dict(pairs)),
        (_, Some(Object::Global { .. })) => {
            let (module, name) = pickle.global(value).unwrap();
            format!("{module}.{name}")
        }
        (_, Some(Object::Persistent(id))) => format!("<{}>", show(pickle, *id)),
        (_, Some(Object::Call(call))) => {
            let mut line = show(pickle, call.function) + &show(pickle, call.arguments);
            if !call.pairs.is_empty() {
                line += &format!("{{{}}}", dict(&call.pairs));
            }
            if let Some(state) = call.state {
                line += &format!(".{}", show(pickle, state));
            }
            line
        }
        (plain, _) => format!("{plain:?}"),
    }
}

#[test]
fn objects_are_written_down() {
    let cases: [(&[u8], &str); 26] = [
        (b")", "()"),
        (b"K\x01\x85", "(1)"),
        (b"K\x01K\x02\x86", "(1, 2)"),
        (b"K\x01K\x02K\x03\x87", "(1, 2, 3)"),
        (b"K\x00(K\x01K\x02t\x86", "(0, (1, 2))"),
        (b"(K\x01l", "[1]"),
        (b"]K\x01a(K\x02K\x03e", "[1, 2, 3]"),
        (b"\x8f(K\x01\x90", "[1]"),
        (b"(K\x01\x91", "[1]"),
        (b"(K\x01K\x02d", "{1: 2}"),
        (b"}K\x01K\x02s(K\x03K\x04u", "{1: 2, 3: 4}"),
        // The stack and the memo.
        (b"K\x012\x86", "(1, 1)"),
        (b"K\x01K\x020", "1"),
        (b"K\x01(0", "1"),
        (b"K\x01(K\x021", "1"),
        (b"K\x01q\x000h\x00", "1"),
        (b"K\x01r\x00\x01\x00\x000j\x00\x01\x00\x00", "1"),
        (b"K\x01\x940h\x00", "1"),
        (b"K\x01p12\n0g12\n", "1"),
        // Calls.
        (b"ca.b\nf\nK\x01\x85R", "a.b.f(1)"),
        (b"\x8c\x03a.b\x8c\x01f\x93)\x81K\x02b", "a.b.f().2"),
        (b"ca\nf\n)}\x92", "a.f()"),
        (b"(K\x01ia\nf\n", "a.f(1)"),
        (b"(ca\nf\nK\x01oK\x02K\x03sK\x04a", "a.f(1){2: 3}"),
        (b"Pkey\n", "<\"key\">"),
        (b"(U\x03keyK\x01tQ", "<(\"key\", 1)>"),
    ];
    for (program, expected) in cases {
        let file = [program, b"."].concat();
        let (pickle, _) = load(&file, 0).unwrap_or_else(|e| panic!("{}: {e}", program.escape_ascii()));
        assert_eq!(show(&pickle, pickle.root), expected, "{}", program.escape_ascii());
    }
}

#[test]
fn dictionaries_of_python_2_have_their_pairs_as_an_argument() {
    let ordered = b"ccollections\nOrderedDict\n(]]K\x01aK\x02aa]K\x03aK\x04aatRK\x05K\x06s.";
    let (pickle, _) = load(ordered, 0).unwrap();
    let pairs = pickle.pairs(pickle.root).unwrap();
    assert_eq!(pairs, [(1, 2), (3, 4), (5, 6)].map(|(k, v)| (Value::Int(k), Value::Int(v))));
    let other = load(b"cother\nOrderedDict\n)R.", 0).unwrap().0;
    assert_eq!(other.pairs(other.root), None);
}

#[test]
fn several_pickles_follow_each_other() {
    let file = b"garbage\x80\x02K\x01.\x80\x04\x95\x03\0\0\0\0\0\0\0K\x02.";
    let (first, at) = load(file, 7).unwrap();
    let (second, end) = load(file, at).unwrap();
    assert_eq!((first.root, second.root, end), (Value::Int(1), Value::Int(2), file.len()));
}

#[test]
fn programs_that_do_not_work_are_refused() {
    use PickleError::*;
    let cases: [(&[u8], PickleError); 18] = [
        (b"", Operands(1)),
        (b"\xff", Instruction { at: 0, code: 0xff }),
        // Extensions and buffers outside the file.
        (b"\x82\x01", Instruction { at: 0, code: 0x82 }),
        (b"\x97", Instruction { at: 0, code: 0x97 }),
        (b"K", Truncated(2)),
        (b"X\x05\0\0\0a", Truncated(1)),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffa", Truncated(1)),
        (b"\x8b\xff\xff\xff\x7f\x01", Truncated(1)),
        (b"I1", Truncated(1)),
        (b"0", Operands(1)),
        (b"K\x01\x86", Operands(3)),
        (b"K\x01(\x85", Operands(4)),
        (b"t", Operands(1)),
        (b"h\x05", Operands(2)),
        (b"}(K\x01u", Operands(4)),
        (b"K\x01K\x02a", Operands(5)),
        (b"]K\x01b", Operands(3)),
        (b"S'\n", Operands(0)),
    ];
    for (program, expected) in cases {
        let error = value(program).unwrap_err();
        assert_eq!(error, expected, "{}", program.escape_ascii());
    }
}

#[test]
fn what_would_grow_without_end_does_not() {
    // Each list holds the previous one twice, which has 2¹⁰⁰⁰⁰⁰ elements in Python.
    let mut laughs = b"]q\x00".to_vec();
    for _ in 0..100_000 {
        laughs.extend(b"q\x00]h\x00ah\x00a");
    }
    // One hundred thousand nested lists, and a list that holds itself.
    let nested = [&b"]".repeat(100_000)[..], &b"a".repeat(99_999)].concat();
    for program in [&laughs[..], &nested, b"]q\x00h\x00a"] {
        let file = [program, b"."].concat();
        let (pickle, _) = load(&file, 0).unwrap();
        assert!(pickle.objects().count() <= file.len() / 4 + 100_000);
        assert_eq!(pickle.name(pickle.root), None);
    }
    let endless = [&b"N0".repeat(MAX_INSTRUCTIONS)[..], b"N."].concat();
    assert_eq!(load(&endless, 0).unwrap_err(), PickleError::Long);
}

#[test]
fn names_are_short_text() {
    let long = [&b"X\x01\x02\0\0"[..], &[b'a'; 513], b"."].concat();
    let (pickle, _) = load(&long, 0).unwrap();
    assert_eq!(pickle.name(pickle.root), None);
    let (pickle, _) = load(b"U\x01\xff.", 0).unwrap();
    assert_eq!(pickle.name(pickle.root), None);
}

#[test]
fn harm_is_told_from_values() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("builtins", "__import__"),
        ("importlib", "import_module"),
        ("os.path", "join"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("numpy.testing._private.utils", "runstring"),
        ("types", "FunctionType"),
    ] {
        assert!(harmful(module, name) && !inert(module, name), "{module}.{name}");
    }
    for (module, name) in [
        ("argparse", "Namespace"),
        ("builtins", "set"),
        ("__builtin__", "unicode"),
        ("collections", "OrderedDict"),
        ("datetime", "datetime"),
        ("numpy._core.multiarray", "scalar"),
        ("torch", "Size"),
        ("types", "SimpleNamespace"),
    ] {
        assert!(!harmful(module, name) && inert(module, name), "{module}.{name}");
    }
    // These are neither harmful nor inert: they may stand where no tensor depends on them.
    for (module, name) in [("mmengine.config", "ConfigDict"), ("builtins", "getattr"), ("osgeo", "x")] {
        assert!(!harmful(module, name) && !inert(module, name), "{module}.{name}");
    }
}
