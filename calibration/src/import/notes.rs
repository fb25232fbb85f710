//! What a user should know about how a file was read.

use std::fmt;

use super::claims::Claim;

/// The number of names that are listed.
const NAMED: usize = 3;

/// What an importer chose, assumed or left out. Displays as one line, to follow the name of the file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// The file has several sets of weights.
    Weights {
        /// The key of those that were read.
        taken: String,
        /// The keys of the others.
        others: Vec<String>,
    },
    /// A checkpoint does not tell what a network does between its layers, and the caller has not said it.
    Assumed,
    /// The file is said to hold another network, and the caller knows better.
    Overruled(Claim),
    /// Tensors that only training needs were left out.
    Training(Vec<String>),
    /// The classifier has a loss of multi-label training beside it.
    MultiLabel(String),
    /// The classifier stands in a sequence of modules, of which the others have no weights.
    Sequence(String),
    /// Weights were multiplied by their pruning masks.
    Pruned(usize),
    /// The graph normalises its input itself.
    Normalises {
        /// Mean of each RGB channel, of pixels in 0..1.
        mean: [f32; 3],
        /// Standard deviation of each RGB channel, of pixels in 0..1.
        std: [f32; 3],
    },
    /// The image of the graph has its channels last.
    ChannelsLast,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights { taken, others } => {
                let taken = if taken.is_empty() { "at the top".to_owned() } else { quoted(taken) };
                let others: Vec<String> = others.iter().map(|key| quoted(key)).collect();
                let others = others.join(", ");
                write!(f, "holds several sets of weights; those {taken} are used, not {others}")
            }
            Self::Assumed => f.write_str(
                "a checkpoint tells no activations and no poolings; assumed are ReLU, a 3×3 max pooling after the stem, strides in \
                 the 3×3 convolutions, average pooling before the classifier, and batch norms with epsilon 1e-5 (a network with \
                 others, such as timm's resnetaa or resnetblur, has the same tensors; its ONNX export tells)",
            ),
            Self::Overruled(claim) => write!(f, "{claim}; it is read as the variant that was named all the same"),
            Self::Training(names) => {
                write!(f, "has {} that only training needs; left out: {}", tensors(names.len()), listed(names))
            }
            Self::MultiLabel(name) => write!(
                f,
                "has {}, so it seems to be trained for several labels a picture (BCEWithLogitsLoss); the probabilities of the \
                 int8 model are softmax, which assumes one label",
                quoted(name)
            ),
            Self::Sequence(name) => write!(
                f,
                "its classifier is {}; the modules around it have no weights and are taken for dropout",
                quoted(name)
            ),
            Self::Pruned(count) => write!(f, "has pruning masks; {} multiplied by them", tensors(*count)),
            Self::Normalises { mean, std } => write!(
                f,
                "normalises its input itself; this becomes the preprocessing of the int8 model, with mean {mean:?} and standard \
                 deviation {std:?} of pixels from 0 to 1"
            ),
            Self::ChannelsLast => {
                f.write_str("its input is N×height×width×3; the network that is read from it has N×3×height×width")
            }
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

fn tensors(count: usize) -> String {
    if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") }
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| quoted(name)).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_one_line() {
        let name = || "a\nb".to_owned();
        let notes = [
            Note::Weights { taken: name(), others: vec![name(), name()] },
            Note::Assumed,
            Note::Training(vec![name(); 5]),
            Note::MultiLabel(name()),
            Note::Sequence(name()),
            Note::Pruned(1),
            Note::Normalises { mean: [0.5; 3], std: [0.25; 3] },
            Note::ChannelsLast,
        ];
        for note in notes {
            let line = note.to_string();
            assert!(line.contains("; ") && !line.contains(['\n', '\r', '\t']), "{line}");
        }
        assert_eq!(
            Note::Training(vec!["a".into(); 4]).to_string(),
            "has 4 tensors that only training needs; left out: `a`, `a`, `a`, …"
        );
    }
}
