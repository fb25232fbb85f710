//! The classes of the outputs.

use core::iter::FusedIterator;
use core::str::Lines;

/// A class: a synset of WordNet and a word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The WordNet 3.0 identifier, `n` and eight digits. It is unique, and the usual name of a folder in data sets.
    pub wnid: &'static str,
    /// The first word of the synset. **Not unique**: `crane` and `maillot` each name two classes of ImageNet.
    pub label: &'static str,
}

/// Each line holds a class as `wnid<TAB>label`. `labels/README.md` has the provenance and the licence.
const IMAGENET1K: &str = include_str!("../labels/imagenet1k.txt");

/// Returns the 1000 classes of ImageNet-1k in the order of the outputs of every library, which is the order of the wnids.
///
/// ```
/// let goldfish = resnext_models::labels::imagenet1k().nth(1).unwrap();
/// assert_eq!((goldfish.wnid, goldfish.label), ("n01443537", "goldfish"));
/// ```
pub fn imagenet1k() -> impl ExactSizeIterator<Item = Class> + FusedIterator + Clone {
    Classes { lines: IMAGENET1K.lines(), left: 1000 }
}

/// Each line holds a wnid. `labels/README.md` has the provenance.
const ILSVRC2012: &str = include_str!("../labels/ilsvrc2012.txt");

/// Returns the wnids of ImageNet-1k in the order in which the development kit of ILSVRC2012 numbers them, from 1, as in
/// `ILSVRC2012_validation_ground_truth.txt`. It is **not** the order of the outputs, which is that of [`imagenet1k`].
///
/// ```
/// let mut wnids = resnext_models::labels::ilsvrc2012();
/// assert_eq!(wnids.next(), Some("n02119789"), "1 is the kit fox");
/// ```
pub fn ilsvrc2012() -> impl Iterator<Item = &'static str> + Clone {
    ILSVRC2012.lines()
}

/// The classes of Imagenette, ten classes of ImageNet that differ clearly, in the order of the outputs of the reference model.
pub const IMAGENETTE: [Class; 10] = [
    Class { wnid: "n01440764", label: "tench" },
    Class { wnid: "n02102040", label: "English springer" },
    Class { wnid: "n02979186", label: "cassette player" },
    Class { wnid: "n03000684", label: "chain saw" },
    Class { wnid: "n03028079", label: "church" },
    Class { wnid: "n03394916", label: "French horn" },
    Class { wnid: "n03417042", label: "garbage truck" },
    Class { wnid: "n03425413", label: "gas pump" },
    Class { wnid: "n03445777", label: "golf ball" },
    Class { wnid: "n03888257", label: "parachute" },
];

#[derive(Clone)]
struct Classes {
    lines: Lines<'static>,
    left: usize,
}

impl Iterator for Classes {
    type Item = Class;

    fn next(&mut self) -> Option<Class> {
        let (wnid, label) = self.lines.next()?.split_once('\t')?;
        self.left -= 1;
        Some(Class { wnid, label })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Classes {}
impl FusedIterator for Classes {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_thousand_classes_in_the_order_of_their_wnids() {
        let classes: Vec<Class> = imagenet1k().collect();
        assert_eq!(classes.len(), 1000);
        assert!(classes.windows(2).all(|pair| pair[0].wnid < pair[1].wnid), "sorted and unique");
        for Class { wnid, label } in classes {
            assert!(wnid.len() == 9 && wnid.starts_with('n'), "{wnid}");
            assert!(wnid[1..].bytes().all(|b| b.is_ascii_digit()), "{wnid}");
            assert!(!label.is_empty() && label.trim() == label && !label.contains([',', '\t']), "{label:?}");
        }
    }

    #[test]
    fn length_counts_down_to_the_end() {
        let mut classes = imagenet1k();
        for left in (0..1000).rev() {
            assert!(classes.next().is_some());
            assert_eq!(classes.len(), left);
        }
        assert_eq!(classes.next(), None);
        assert_eq!(classes.next(), None);
    }

    /// Well-known indices of the libraries' outputs.
    #[test]
    fn known_positions() {
        for (index, label) in
            [(0, "tench"), (207, "golden retriever"), (281, "tabby"), (985, "daisy"), (999, "toilet tissue")]
        {
            assert_eq!(imagenet1k().nth(index).unwrap().label, label);
        }
    }

    /// A permutation; the challenge's first ten validation images, in the kit's numbers and in those of the outputs.
    #[test]
    fn the_development_kit_has_an_order_of_its_own() {
        let kit: Vec<&str> = ilsvrc2012().collect();
        let mut sorted = kit.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(imagenet1k().map(|class| class.wnid)));
        let numbers = [490, 361, 171, 822, 297, 482, 13, 704, 599, 164];
        let outputs =
            numbers.map(|number: usize| imagenet1k().position(|class| class.wnid == kit[number - 1]));
        assert_eq!(outputs, [65, 970, 230, 809, 516, 57, 334, 415, 674, 332].map(Some));
    }

    #[test]
    fn imagenette_is_part_of_imagenet_and_in_its_order() {
        let part: Vec<Class> =
            imagenet1k().filter(|class| IMAGENETTE.iter().any(|c| c.wnid == class.wnid)).collect();
        assert_eq!(part, IMAGENETTE);
    }
}
