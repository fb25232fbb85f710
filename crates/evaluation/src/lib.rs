//! What int8 costs in accuracy, measured on labelled images. Nothing here needs the offline half: with fp32 logits that
//! were recorded elsewhere, a board measures its own drop.
//!
//! Modules in the order data takes:
//!
//! | module | role |
//! |---|---|
//! | [`samples`] | image files, found and decoded one at a time |
//! | [`truth`] | which class each is of: folders, ILSVRC2012's files of labels |
//! | [`mod@run`] | int8 over all images, on all threads |
//! | [`record`] | fp32 logits in a file, instead of fp32 |
//! | [`outcome`] | what becomes of one image |
//! | [`journal`] | outcomes on disk, to go on after an interruption |
//! | [`noise`], [`statistics`] | noise, divergence, intervals, tests |
//! | [`summary`] | all of it: accuracies, drop, flips, classes |

#![forbid(unsafe_code)]

pub mod noise;
pub mod journal;
pub mod outcome;
pub mod record;
pub mod run;
pub mod samples;
pub mod statistics;
pub mod summary;
pub mod truth;

pub use run::{Outcomes, Run, RunFailed, run};
pub use summary::{Accuracy, Comparison, Evaluation};
