//! Numbers that stand for classes, and whether they count as assumed. Nothing in a file of labels says how its numbers count, but the
//! answers of the network do.

use super::class_index::ClassIndex;
use super::labelled::Labelled;
use crate::summary::Evaluation;
use resnext_models::labels;

/// How the numbers of a file of labels are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// As the outputs of the model, from 0.
    Outputs,
    /// From 1, in the order of ILSVRC2012's development kit.
    DevelopmentKit,
}

/// Numbers that seem to count in another way than they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// How they seem to count.
    pub seems: &'static str,
    /// The number of answers of int8 that are right if they count so.
    pub right: usize,
    /// The number that is right as they are taken.
    pub taken: usize,
    /// The number of images.
    pub images: usize,
}

/// The fewest answers from which anything is concluded.
const ENOUGH: usize = 5;

/// How many times as many answers must be right by the other count.
const TIMES: usize = 4;

impl Miscount {
    /// Finds out whether the answers of int8 fit another way of counting far better: most of them are right by it, and several times as
    /// many as by the one that was taken.
    pub fn find(images: &Labelled, evaluation: &Evaluation, classes: &ClassIndex) -> Option<Self> {
        let kit: Vec<Option<usize>> = labels::ilsvrc2012().map(|wnid| classes.find(wnid)).collect();
        let at = |number: usize| number.checked_sub(1).and_then(|at| kit.get(at).copied().flatten());
        let number = |class: usize| Some(kit.iter().position(|known| *known == Some(class))? + 1);
        let right = |class: &dyn Fn(usize) -> Option<usize>| -> usize {
            let fits = |cell: &&crate::summary::Confusion| class(cell.truth) == Some(cell.answer);
            evaluation.confusions.iter().filter(fits).map(|cell| cell.int8).sum()
        };
        let others = match images.numbering()? {
            Numbering::Outputs => [
                ("from 1", right(&|class| class.checked_sub(1))),
                ("from 1 in the order of ILSVRC2012's development kit", right(&at)),
            ],
            Numbering::DevelopmentKit => [
                ("from 1 in the order of the outputs", right(&|class| number(class)?.checked_sub(1))),
                ("from 0 in the order of the outputs", right(&number)),
            ],
        };
        let (seems, right_so) = others.into_iter().max_by_key(|(_, right)| *right)?;
        let (taken, images) = (right(&Some), evaluation.images);
        let is_far_better = right_so >= ENOUGH && 2 * right_so >= images && right_so >= TIMES * taken;
        is_far_better.then_some(Self { seems, right: right_so, taken, images })
    }
}
