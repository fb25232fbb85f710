//! The layers of a network as a file describes them, before [`assembly`](super::assembly) judges them.

use super::error::Location;
use crate::network::{Activation, Conv, Window};

/// One convolution as the file describes it, and where it is, for error messages.
pub(crate) struct Part {
    /// Its location in the file.
    pub(crate) location: Location,
    /// The convolution. Its position in the network decides on `relu` and `residual`.
    pub(crate) conv: Conv,
    /// How the file quantizes its output, after the residual addition and the ReLU.
    pub(crate) quantization: Option<Activation>,
}

/// One pooling as the file describes it.
pub(crate) struct Pool {
    /// Its location in the file; [`Location::Graph`] if the file has no trace of it.
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
    /// The average pooling before it, if there is one.
    pub(crate) pool: Option<Pool>,
    /// The 1×1 convolution.
    pub(crate) conv: Part,
}

/// The convolutions of one residual block.
pub(crate) struct Bottleneck {
    /// The 1×1 convolution that reduces the channels.
    pub(crate) conv1: Part,
    /// The grouped 3×3 convolution, which has the stride.
    pub(crate) conv2: Part,
    /// The 1×1 convolution that expands the channels. The shortcut is added to its output.
    pub(crate) conv3: Part,
    /// The projection of the shortcut; `None` for an identity shortcut.
    pub(crate) downsample: Option<Projection>,
}
