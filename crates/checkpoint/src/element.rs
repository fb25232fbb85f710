//! How the elements of a tensor are written in a file.

/// The type of a stored element. All types are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// An integer from −128 to 127. A quantized file gives its scale elsewhere.
    I8,
    /// IEEE binary16.
    F16,
    /// bfloat16, the upper half of an IEEE binary32.
    BF16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64; reading rounds it to binary32.
    F64,
}

impl Element {
    /// Returns the number of bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// How a file encodes the bytes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes stand in the file as they are.
    Raw,
    /// Each byte is a character from U+0000 to U+00FF, written in UTF-8. Python 3 pickles bytes for Python 2 in this
    /// way.
    Latin1,
}
