//! Reading fp32 networks, and choosing their preprocessing and the names of their classes.

use crate::files::text;
use crate::terminal::Error;
use resnext::preprocess::Preprocessing;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::network::{Network, fold_batch_norm};
use resnext_calibration::preprocessing::published;
use resnext_calibration::{ClassName, bundled};
use resnext_evaluation::samples::Samples;
use resnext_models::Variant;
use std::path::Path;

/// Reads an fp32 network and folds its batch norms into the convolutions.
pub(crate) fn read(path: &Path, input_size: Option<usize>) -> Result<Network, Error> {
    let mut network = load_with(path, ImportOptions { input_size }).map_err(|error| Error::new("", error))?;
    fold_batch_norm(&mut network);
    Ok(network)
}

/// Returns the preprocessing of a variant, or that of torchvision if there is no variant. The normalisation of a quantized file
/// replaces that of torchvision.
pub(crate) fn preprocessing(variant: Option<&Variant>, network: &Network) -> Preprocessing {
    let size = network.input.height as u32;
    // timm's rule for the usual crop of 0.875: ⌊size / 0.875⌋.
    if let Some(variant) = variant {
        return published(&variant.preprocessing);
    }
    let usual = Preprocessing::imagenet(size, size * 8 / 7);
    match network.prequantized.as_ref().and_then(|file| file.pixels.as_ref()) {
        Some(pixels) if !pixels.agrees(&usual) => {
            Preprocessing { mean: pixels.mean, std: pixels.std, ..usual }
        }
        _ => usual,
    }
}

/// Returns the names of the classes, and says where they come from.
pub(crate) fn classes(
    network: &Network,
    labels: Option<&Path>,
    variant: Option<&Variant>,
    samples: Option<&Samples>,
) -> Result<(Vec<ClassName>, &'static str), Error> {
    let count = network.architecture.classes;
    if let Some(path) = labels {
        return Ok((read_labels(path)?, "the labels file"));
    }
    let is_reference = variant.is_some_and(|v| v.name == resnext_models::reference::VARIANT.name);
    let imagenet = bundled::imagenet_classes();
    let folders = samples.map(Samples::classes).unwrap_or_default();
    Ok(if is_reference {
        (bundled::reference_classes(), "the reference model")
    } else if count == imagenet.len() {
        (imagenet, "ImageNet-1k")
    } else if count == folders.len() {
        // As in torchvision's ImageFolder, which numbers classes by the sorted names of their folders.
        let named = |folder: &str| {
            let known = imagenet.iter().find(|class| class.id == folder).cloned();
            known.unwrap_or_else(|| ClassName { id: String::new(), label: folder.to_owned() })
        };
        (folders.into_iter().map(named).collect(), "the sample folders in sorted order")
    } else {
        let numbered = |index| ClassName { id: String::new(), label: format!("class {index}") };
        ((0..count).map(numbered).collect(), "their numbers; give --labels to name them")
    })
}

/// Reads one class from each line: a label, or an identifier and a label with a tab between them.
fn read_labels(path: &Path) -> Result<Vec<ClassName>, Error> {
    let text = text::read(path, "give a text file with one label on each line")?;
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| {
            let (id, label) = line.split_once('\t').unwrap_or(("", line));
            ClassName { id: id.to_owned(), label: label.to_owned() }
        })
        .collect())
}
