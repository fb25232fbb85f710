//! The layers of a network as a file describes them, before [`assembly`](super::assembly) judges them.

use super::error::Location;
use crate::network::{Activation, Conv, Window};

/// One convolution as the file describes it, and where it is, for error messages.
pub(crate) struct Part {
    /// Where the file has it.
    pub(crate) location: Location,
    /// The convolution. Its position in the network decides on `relu` and `residual`.
    pub(crate) conv: Conv,
    /// How the file quantizes its output, after the residual addition and the ReLU.
    pub(crate) quantization: Option<Activation>,
}

/// One pooling as the file describes it.
pub(crate) struct Pool {
    /// Where the file has it; [`Location::Graph`] if the file has no trace of it.
    pub(crate) location: Location,
    /// Its window.
    pub(crate) window: Window,
    /// Whether a last window that reaches beyond the image counts.
    pub(crate) ceil: bool,
    /// How the file quantizes its output.
    pub(crate) quantization: Option<Activation>,
}

/// The projection on a shortcut.
pub(crate) struct Projection {
    /// Average pooling before it.
    pub(crate) pool: Option<Pool>,
    /// 1×1.
    pub(crate) conv: Part,
}

/// The convolutions of one residual block.
pub(crate) struct Bottleneck {
    /// 1×1, reduces.
    pub(crate) conv1: Part,
    /// 3×3, grouped, carries the stride.
    pub(crate) conv2: Part,
    /// 1×1, expands; the shortcut is added to its output.
    pub(crate) conv3: Part,
    /// `None` for an identity shortcut.
    pub(crate) downsample: Option<Projection>,
}
