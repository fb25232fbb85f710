//! Reading fp32 networks, and choosing their preprocessing and the names of their classes.

use crate::offline::labels;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output::note;
use resnext::preprocess::Preprocessing;
use resnext_calibration::import::{self, ImportError, ImportOptions, Imported, Note};
use resnext_calibration::network::{Network, Normalisation, fold_batch_norm};
use resnext_calibration::preprocessing::Recipe;
use resnext_calibration::{ClassName, bundled};
use resnext_evaluation::samples::Samples;
use resnext_models::Variant;
use std::path::Path;

/// Reads an fp32 network and folds its batch norms into the convolutions. Returns it with what the user should know about it.
pub(crate) fn read(path: &Path, options: ImportOptions) -> Result<(Network, Vec<Note>), Error> {
    let Imported { mut network, notes } = import::read(path, options)
        .map_err(|ImportError { path, kind }| remedies::failure(path.display(), &kind))?;
    fold_batch_norm(&mut network);
    Ok((network, notes))
}

/// Reads the fp32 network that a model is compared with, for images of `side` pixels. What it was assumed to be has been told when the
/// model was compiled. A quantized network is no fp32 network, which the user is told.
pub(crate) fn baseline(path: &Path, weights_key: Option<&str>, side: usize) -> Result<Network, Error> {
    let options = ImportOptions { input_size: Some(side), weights_key, is_plain: true };
    let (network, notes) = read(path, options)?;
    tell(path, &notes);
    if network.prequantized.is_some() {
        note(format_args!(
            "{}: is quantized itself, so this baseline is not fp32 but int8 weights in float arithmetic; give the fp32 network that \
             it was made from",
            path.display()
        ));
    }
    Ok(network)
}

/// Tells the user how a network was read.
pub(crate) fn tell(path: &Path, notes: &[Note]) {
    notes.iter().for_each(|what| note(format_args!("{}: {what}", path.display())));
}

/// Returns the preprocessing for the input of `network`: that of its recipe, or that of torchvision if it has none. A file that
/// normalises its image itself has the last word on that.
pub(crate) fn preprocessing(recipe: Option<&Recipe>, network: &Network) -> Preprocessing {
    let size = network.input.height as u32;
    let chosen = match recipe {
        Some(recipe) => recipe.at(size),
        None => normalised(Recipe::usual(), network).at(size),
    };
    match network.normalisation {
        Some(Normalisation { mean, std, .. }) => Preprocessing { mean, std, ..chosen },
        None => chosen,
    }
}

/// Replaces the normalisation of a recipe by that of a file that computes it.
pub(crate) fn normalised(recipe: Recipe, network: &Network) -> Recipe {
    match network.prequantized.as_ref().and_then(|file| file.pixels.as_ref()) {
        Some(pixels) if !pixels.agrees(&recipe.preprocessing) => {
            let preprocessing = Preprocessing { mean: pixels.mean, std: pixels.std, ..recipe.preprocessing };
            Recipe { preprocessing, ..recipe }
        }
        _ => recipe,
    }
}

/// Returns the names of the classes, and says where they come from.
pub(crate) fn classes(
    network: &Network,
    named_by: Option<&Path>,
    variant: Option<&Variant>,
    samples: Option<&Samples>,
) -> Result<(Vec<ClassName>, &'static str), Error> {
    let count = network.architecture.classes;
    if let Some(path) = named_by {
        return Ok((labels::read(path)?, "the labels file"));
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
