//! [`defmt::Format`] of what borrows an artifact: shapes and counts, never the weights, which no log has room for.

use crate::model::{Conv, Linear, Model};
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
            "Conv {{ output: {}, residual: {}, window: {}, shape: {}, clamp: {}, packing: {} }}",
            self.output, self.residual, self.window, self.shape, self.clamp, self.packing
        );
    }
}

impl Format for Linear<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Linear {{ shape: {} }}", self.shape);
    }
}
