//! The insides of an artifact, for tools that write or inspect one. **Not covered by semantic versioning.**
//!
//! `resnext-calibration` writes artifacts with what is here. Its contents may change in any release, so a program that
//! uses it depends on an exact version of this crate. A program that classifies images needs none of it.
//!
//! | module | what it defines |
//! |---|---|
//! | [`format`] | the records of an artifact: the specification of the file |
//! | [`weights`] | the layout of packed weights |
//! | [`requantize`] | the rounding from accumulators to int8 |
//! | [`isa`] | the proof that this CPU has an instruction set |

pub mod format;
pub mod isa;
pub mod requantize;
pub mod weights;
