//! The passes over pixels, with one implementation for each instruction set. All give the same bytes.
//!
//! | module | instruction set | role |
//! |---|---|---|
//! | `scalar` | none | safe Rust, runs anywhere; the others must equal it |
//! | `vector` | any | the passes over vectors of 16 bytes, generic over the small trait `Vector` |
//! | `aarch64`, `x86_64` | Advanced SIMD, AVX2 | implementations of that trait |

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod scalar;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::Interpolation;
use super::frame::Row;
use super::resample::{BLOCK, Rows, Table};
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use crate::isa;
use zerocopy::native_endian::I32;

/// The instruction set that passes run on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passes {
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon(isa::Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(isa::Avx2),
}

impl Passes {
    /// Returns the fastest passes that this CPU runs.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "aarch64")]
        if let Some(token) = isa::Neon::detect() {
            return Self::Neon(token);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = isa::Avx2::detect() {
            return Self::Avx2(token);
        }
        Self::Scalar
    }

    /// Converts as many pixels of a row to RGB as fit `out`. The row has at least as many.
    pub(super) fn unpack(self, row: Row<'_>, out: &mut [u8]) {
        match self {
            Self::Scalar => scalar::unpack(row, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => aarch64::unpack(token, row, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => x86_64::unpack(token, row, out),
        }
    }

    /// Resamples a batch of RGB rows along the row.
    ///
    /// `lines` are the source rows, one after the other, each as long as [`Across::line_len`] says. `out` is as many rows of
    /// samples, each with room for one sample beyond those of the last pixel.
    ///
    /// [`Across::line_len`]: super::resample::Across::line_len
    pub(super) fn across(
        self,
        interpolation: Interpolation,
        lines: &[u8],
        table: &Table<'_>,
        out: &mut [u8],
    ) {
        match self {
            Self::Scalar => scalar::across(interpolation, lines, table, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => aarch64::across(token, interpolation, lines, table, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => x86_64::across(token, interpolation, lines, table, out),
        }
    }

    /// Resamples rows of samples down the columns into `out`, one row of bytes. Lengths are multiples of [`BLOCK`] samples.
    pub(super) fn down(self, interpolation: Interpolation, rows: &Rows<'_>, weights: &[I32], out: &mut [u8]) {
        debug_assert!(out.len().is_multiple_of(BLOCK) && out.len() * interpolation.sample() <= rows.row);
        match self {
            Self::Scalar => scalar::down(interpolation, rows, weights, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => aarch64::down(token, interpolation, rows, weights, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => x86_64::down(token, interpolation, rows, weights, out),
        }
    }
}
