//! One module per verb. No verb uses another verb; what several of them need is in the folders beside this one.

pub(crate) mod bench;
#[cfg(target_os = "linux")]
pub(crate) mod camera;
pub(crate) mod classify;
#[cfg(feature = "compile")]
pub(crate) mod compile;
#[cfg(feature = "compile")]
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod eval;
#[cfg(feature = "compile")]
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod zoo;
