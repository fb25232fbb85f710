//! Which classes and functions a checkpoint may name.
//!
//! Nothing that is named is ever run, so any pickle is safe to read here. It need not be elsewhere: whoever
//! gets a file that runs code when Python loads it should hear of it. Hence three kinds: what builds tensors
//! (known to [`rebuild`](crate::rebuild)) and [`inert`] values may stand anywhere; what is [`harmful`] may
//! stand nowhere; all else, such as the configuration and optimizer classes of training frameworks, may stand
//! where no tensor depends on it.

/// Modules that run code, start programs, or touch files or networks. The usual suspects, not a proof.
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

/// Builtins that only make values.
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

/// Whether a call of this in Python runs code that the file chooses.
pub(crate) fn harmful(module: &str, name: &str) -> bool {
    let root = module.split('.').next().unwrap_or_default();
    match root {
        // Python 3.11 writes the members of enumerations like this, and mmengine the methods of its history.
        "builtins" | "__builtin__" => name != "getattr" && !BUILTINS.contains(&name),
        "numpy" => ["numpy.testing", "numpy.f2py"].iter().any(|m| module.starts_with(m)),
        "torch" => {
            name == "load" || ["torch.hub", "torch.utils.cpp_extension"].iter().any(|m| module.starts_with(m))
        }
        "types" => matches!(name, "CodeType" | "FunctionType"),
        _ => HARMFUL.contains(&root),
    }
}

/// Whether this makes a value that is no tensor, and does nothing else.
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
