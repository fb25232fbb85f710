//! How a network is compiled.

use resnext::pack::Packing;

use crate::emit::ClassName;
use crate::observe::Method;
use resnext::preprocess::Preprocessing;
use resnext_photo::Exif;

/// The techniques beyond the choice of ranges. `docs/src/measurements/calibration.md` says what each gains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Techniques {
    /// Whether to move biases so that every channel keeps its mean.
    pub correct_bias: bool,
    /// Whether to round the weights of a row together, which corrects biases, too.
    pub round_together: bool,
}

impl Techniques {
    /// No technique: one pass over the samples.
    pub const FAST: Self = Self { correct_bias: false, round_together: false };
    /// Corrected biases: two passes.
    pub const NORMAL: Self = Self { correct_bias: true, ..Self::FAST };
    /// All techniques.
    pub const HIGH: Self = Self { correct_bias: true, round_together: true };

    /// Returns the name of the effort: `fast`, `normal` or `high`.
    pub fn name(self) -> &'static str {
        match self {
            Self { round_together: true, .. } => "high",
            Self { correct_bias: true, .. } => "normal",
            Self { .. } => "fast",
        }
    }
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// How ranges are chosen.
    pub method: Method,
    /// The techniques beyond that.
    pub techniques: Techniques,
    /// Whether to measure what each layer costs: [`Report::sensitivity`](super::Report::sensitivity). It runs the fp32
    /// network twice for each layer.
    pub sensitivity: bool,
    /// The way from a photo to the input.
    pub preprocessing: Preprocessing,
    /// What becomes of the EXIF orientation of photos, for the metadata. [`Samples::with_exif`] decides it for the samples.
    ///
    /// [`Samples::with_exif`]: resnext_evaluation::samples::Samples::with_exif
    pub exif: Exif,
    /// The class of each logit.
    pub classes: Vec<ClassName>,
    /// Where the fp32 weights came from, for the metadata: a file name or a variant.
    pub source: String,
    /// The licence of the weights, for the metadata, if it is known.
    pub licence: Option<String>,
    /// The packing of the weights in the artifact. Any CPU runs any packing, but each is fastest with its own.
    pub packing: Packing,
    /// Whether [`Compiler::qdq`](super::Compiler::qdq) is wanted, which takes as much memory again as the artifact.
    pub qdq: bool,
    /// The number of threads that calibrate.
    pub threads: usize,
}

impl Options {
    /// Makes options for the least harm to accuracy, on one thread, with the portable packing and nothing in addition.
    pub fn new(preprocessing: Preprocessing, classes: Vec<ClassName>) -> Self {
        Self {
            method: Method::Auto,
            techniques: Techniques::HIGH,
            sensitivity: false,
            preprocessing,
            exif: Exif::Ignore,
            classes,
            source: String::new(),
            licence: None,
            packing: Packing::K4,
            qdq: false,
            threads: 1,
        }
    }
}
