//! What can be wrong with a pickle.

/// Why a pickle cannot be read. Displays as the reason alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The file ends in the middle of an instruction.
    #[error("the pickle ends in the middle of an instruction, at byte {0}")]
    Truncated(usize),
    /// A byte is no instruction, or one that no checkpoint contains.
    #[error("the pickle has the unknown instruction {code:#04x} at byte {at}")]
    Instruction {
        /// Its offset.
        at: usize,
        /// The byte.
        code: u8,
    },
    /// The operands of an instruction are missing or of the wrong type.
    #[error("the pickle has an instruction with wrong operands at byte {0}")]
    Operands(usize),
    /// The pickle has more than [`MAX_INSTRUCTIONS`] instructions.
    #[error("the pickle has more than {MAX_INSTRUCTIONS} instructions")]
    Long,
}

/// The most instructions that are read. A thousand tensors with an optimizer's state take some hundred thousand of them.
/// Each takes some hundred bytes of memory.
pub const MAX_INSTRUCTIONS: usize = 1 << 20;
