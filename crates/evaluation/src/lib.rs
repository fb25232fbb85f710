//! Measures what int8 costs in accuracy on labelled images. Nothing here needs the offline half: with recorded fp32 logits,
//! a board measures its own drop.
//!
//! [`run()`] runs a model over [`Labelled`](truth::Labelled) images, and [`Evaluation::new`] sums up the outcomes.
//!
//! | module | role |
//! |---|---|
//! | [`samples`] | finds image files and decodes them one at a time |
//! | [`truth`] | the class of each image, from folders or from files of labels |
//! | [`record`], [`provenance`] | fp32 logits in a file, and where they come from |
//! | [`mod@run`] | runs int8 over all images, on all threads |
//! | [`outcome`] | the result for one image |
//! | [`journal`], [`identity`] | outcomes on disk, so that an interrupted evaluation resumes |
//! | [`pictures`] | which pictures a model was calibrated on |
//! | [`noise`], [`statistics`] | noise, divergence, intervals, tests |
//! | [`summary`] | accuracies, drop, flips, classes |

#![forbid(unsafe_code)]

pub mod identity;
pub mod journal;
pub mod noise;
pub mod outcome;
pub mod pictures;
pub mod provenance;
pub mod record;
pub mod run;
pub mod samples;
pub mod statistics;
pub mod summary;
pub mod truth;

pub use run::{Outcomes, Run, RunFailed, run};
pub use summary::{Accuracy, Comparison, Evaluation};
