//! [`defmt::Format`] for types that borrow an artifact or pixels: it writes shapes and counts, and never the bytes, for which
//! no log has room.

use crate::model::Model;
use crate::preprocess::Plane;
use crate::program::{Conv, Linear};
use defmt::{Format, Formatter, write};

impl Format for Model<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(
            f,
            "Model {{ artifact_len: {=usize}, arena_len: {=usize}, steps: {=usize}, classes: {=usize}, packing: {} }}",
            self.artifact_len(),
            self.arena_len(),
            self.step_count(),
            self.class_count(),
            self.packing()
        );
    }
}

impl Format for Conv<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(
            f,
            "Conv {{ output: {}, residual: {}, shortcut: {}, window: {}, shape: {}, clamp: {}, packing: {} }}",
            self.output, self.residual, self.shortcut, self.window, self.shape, self.clamp, self.packing
        );
    }
}

impl Format for Linear<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Linear {{ shape: {} }}", self.shape);
    }
}

impl Format for Plane<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Plane({=usize} bytes, stride {=usize})", self.data.len(), self.stride);
    }
}

/// Public types implement [`Format`]. If one no longer did, this would not compile.
const _: () = {
    const fn logged<T: Format>() {}
    logged::<Model<'_>>();
    logged::<crate::program::Step<'_>>();
    logged::<crate::program::Op<'_>>();
    logged::<crate::Class<'_>>();
    logged::<crate::program::Window>();
    logged::<crate::program::Tensor>();
    logged::<crate::Prediction>();
    logged::<crate::Kernels>();
    logged::<crate::Serial>();
    logged::<crate::LoadError>();
    logged::<crate::RunError>();
    logged::<crate::Frame<'_>>();
    logged::<crate::preprocess::FrameError>();
    logged::<crate::preprocess::PreprocessError>();
    logged::<crate::preprocess::Packed>();
    logged::<crate::preprocess::Preprocessing>();
    logged::<crate::preprocess::YuvMatrix>();
    logged::<crate::preprocess::YuvRange>();
    logged::<crate::weights::ConvShape>();
    logged::<crate::weights::WeightLayout>();
    logged::<crate::weights::Packing>();
    logged::<crate::format::SectionId>();
    logged::<crate::format::StepKind>();
};
