//! Reorders the weights of an artifact for the CPU that runs it.
//!
//! One order of bytes, [`Packing::K4`], serves every CPU. Arm CPUs with SMMLA are faster with [`Packing::K8`], a
//! permutation of it. [`Kernels::packing`](crate::Kernels::packing) says which one the kernels of a CPU want, and
//! [`repack`] converts an artifact in place, in either direction:
//!
//! ```no_run
//! use resnext::pack::repack;
//! use resnext::{Kernels, Model};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut artifact = std::fs::read("model.rnx")?;
//! repack(&mut artifact, Kernels::detect().packing())?;
//! let model = Model::from_bytes(&artifact)?;
//! # Ok(())
//! # }
//! ```

use crate::error::LoadError;
use crate::format::{Header, checksum};
use crate::model::{Artifact, Model};
use crate::program::Op;
use crate::weights::{interleave, separate};
use zerocopy::FromBytes;

pub use crate::weights::Packing;

/// Reorders the weights of `artifact` in place and allocates nothing.
///
/// The logits that the artifact gives stay the same to the bit. If it already has this packing, nothing is written.
///
/// # Errors
///
/// [`LoadError`] if `artifact` is not a valid artifact. It is then unchanged.
pub fn repack(artifact: &mut [u8], packing: Packing) -> Result<(), LoadError> {
    let model = Model::from_bytes(artifact)?;
    if model.packing() == packing {
        return Ok(());
    }
    for index in 0..model.step_count() {
        // Decoded anew for every step, since weights change.
        let range = match Artifact::parse(artifact)?.step(index)?.op {
            Op::Conv(conv) if conv.shape.interleaves() => {
                let start = conv.weights.as_ptr().addr() - artifact.as_ptr().addr();
                start..start + conv.weights.len()
            }
            _ => continue,
        };
        let weights = &mut artifact[range];
        match packing {
            Packing::K8 => interleave(weights),
            Packing::K4 => separate(weights),
        }
    }
    if let Ok((header, _)) = Header::mut_from_prefix(artifact) {
        header.packing = packing as u8;
    }
    let sum = checksum(artifact);
    if let Ok((header, _)) = Header::mut_from_prefix(artifact) {
        header.checksum = sum.into();
    }
    Ok(())
}
