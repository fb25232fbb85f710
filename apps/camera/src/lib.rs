//! Camera frames in, labels out: the stages of `resnext camera`.

pub mod display;
mod reading;

pub use reading::{Guess, Picture, Reading, Show, ShowError};
