//! The one error type of the program.

use super::text::clean;
use std::fmt;
use std::path::Path;

/// Why a verb failed. Displays as one line: the subject, what is wrong, and how to fix it.
#[derive(Debug)]
pub(crate) enum Error {
    /// A file or an option is at fault.
    Failed {
        /// The path or the option; empty if there is none to name.
        subject: String,
        /// What is wrong and how to fix it, as `what is wrong; how to fix it`.
        what: String,
    },
    /// The messages are on stderr already.
    Reported,
    /// The reader of stdout has closed it.
    OutputClosed,
}

impl Error {
    /// Creates a failure that concerns `path`. `what` reads `what is wrong; how to fix it`.
    pub(crate) fn at(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(path.display(), what)
    }

    /// Creates a failure that concerns `subject`, such as an option.
    pub(crate) fn new(subject: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::Failed { subject: subject.to_string(), what: what.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { subject, what } if subject.is_empty() => f.write_str(&clean(what)),
            Self::Failed { subject, what } => write!(f, "{}: {}", clean(subject), clean(what)),
            Self::Reported => f.write_str("failed; see the messages above"),
            Self::OutputClosed => f.write_str("the reader of the output has closed it"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_it_says() {
        let error = Error::at(Path::new("a\nb.jpg"), "bad\r\n\x1b[31mthing; fix it");
        assert_eq!(error.to_string(), "a\\nb.jpg: bad\\r\\n\\u{1b}[31mthing; fix it");
    }

    #[test]
    fn no_subject_no_colon() {
        assert_eq!(Error::new("", "broken; fix it").to_string(), "broken; fix it");
    }
}
