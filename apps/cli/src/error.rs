//! The one error type of the program.

use crate::terminal::output::clean;
use std::fmt;
use std::path::Path;

/// Why a verb failed. Displays as one line: the subject, what is wrong, how to mend it.
#[derive(Debug)]
pub(crate) enum Error {
    /// Something about a file or an option.
    Failed {
        /// The path or option it is about; empty if there is none to name.
        subject: String,
        /// What is wrong and how to mend it, as `what; remedy`.
        what: String,
    },
    /// Everything there is to say is on stderr already.
    Reported,
    /// The reader of stdout went away.
    OutputClosed,
}

impl Error {
    /// A failure that concerns `path`. `what` reads `what is wrong; how to mend it`.
    pub(crate) fn at(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(path.display(), what)
    }

    /// A failure that concerns `subject`, such as an option.
    pub(crate) fn new(subject: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::Failed { subject: subject.to_string(), what: what.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { subject, what } if subject.is_empty() => f.write_str(&clean(what)),
            Self::Failed { subject, what } => write!(f, "{}: {}", clean(subject), clean(what)),
            Self::Reported => f.write_str("failed as reported"),
            Self::OutputClosed => f.write_str("the reader of the output went away"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_it_says() {
        let error = Error::at(Path::new("a\nb.jpg"), "bad\r\n\x1b[31mthing; mend it");
        assert_eq!(error.to_string(), "a\\nb.jpg: bad\\r\\n\\u{1b}[31mthing; mend it");
    }

    #[test]
    fn no_subject_no_colon() {
        assert_eq!(Error::new("", "broken; mend it").to_string(), "broken; mend it");
    }
}
