//! Reading and writing files, with errors that name the file and say what to do.

pub(crate) mod photo;
pub(crate) mod text;
pub(crate) mod write;
