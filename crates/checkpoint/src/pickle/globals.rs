//! Which classes and functions a checkpoint may name.
//!
//! Any pickle is safe to read here, because nothing that it names is run. It may be unsafe elsewhere, so a user should learn
//! that a file runs code when Python loads it. Names therefore have three kinds. Functions that build tensors, which
//! [`rebuild`](crate::rebuild) knows, and [`inert`] values may stand anywhere. [`harmful`] names may stand nowhere. All
//! others, such as the configuration and optimizer classes of training frameworks, may stand where no tensor depends on
//! them.

/// Modules that run code, start programs, or use files or networks. The list holds the usual ones and is not complete.
const HARMFUL: &[&str] = &[
    "_pickle",
    "_posixsubprocess",
    "asyncio",
    "bdb",
    "cProfile",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "distutils",
    "doctest",
    "ensurepip",
    "ftplib",
    "http",
    "httplib",
    "idlelib",
    "imp",
    "importlib",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "popen2",
    "posix",
    "profile",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "setuptools",
    "shutil",
    "smtplib",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "urllib",
    "urllib2",
    "venv",
    "webbrowser",
];

/// Built-in functions that only make values.
const BUILTINS: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Other modules whose classes only hold values.
const VALUES: &[&str] = &["argparse", "collections", "datetime", "decimal", "fractions", "pathlib", "uuid"];

/// Returns whether calling `module.name` in Python runs code that the file chooses.
pub(crate) fn harmful(module: &str, name: &str) -> bool {
    let root = module.split('.').next().unwrap_or_default();
    match root {
        // Python 3.11 writes members of enumerations with `getattr`, and mmengine methods of its history.
        "builtins" | "__builtin__" => name != "getattr" && !BUILTINS.contains(&name),
        "numpy" => ["numpy.testing", "numpy.f2py"].iter().any(|m| module.starts_with(m)),
        "torch" => {
            name == "load" || ["torch.hub", "torch.utils.cpp_extension"].iter().any(|m| module.starts_with(m))
        }
        "types" => matches!(name, "CodeType" | "FunctionType"),
        _ => HARMFUL.contains(&root),
    }
}

/// Returns whether `module.name` makes a value that is no tensor, and does nothing else.
pub(crate) fn inert(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => BUILTINS.contains(&name),
        "_codecs" => name == "encode",
        "numpy" => name == "dtype",
        "numpy.core.multiarray" | "numpy._core.multiarray" => name == "scalar",
        "torch" => matches!(name, "Size" | "device" | "dtype"),
        "types" => name == "SimpleNamespace",
        _ => VALUES.contains(&module.split('.').next().unwrap_or_default()),
    }
}
