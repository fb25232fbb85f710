//! Reading a network together with its recipe: how images are prepared for its weights, and who says so.

use crate::offline::arch::{self, Arch};
use crate::offline::hub_config::{self, HubConfig};
use crate::offline::network;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output::note;
use resnext::preprocess::Preprocessing;
use resnext_calibration::import::ImportOptions;
use resnext_calibration::import::architecture::expect;
use resnext_calibration::network::Network;
use resnext_calibration::preprocessing::Recipe;
use resnext_models::{Variant, ZOO, names};
use std::path::Path;

/// A network, and what is known of its weights.
pub(crate) struct Imported {
    /// The network with folded batch norms.
    pub(crate) network: Network,
    /// The published variant that the weights are.
    pub(crate) variant: Option<&'static Variant>,
    /// How images are prepared for the weights; `None` if nothing says it.
    pub(crate) recipe: Option<Recipe>,
    /// Who says it, for reports.
    pub(crate) said_by: String,
}

/// What goes with the weights of a network, as [`Imported`] has it.
pub(super) struct Knowledge {
    pub(super) variant: Option<&'static Variant>,
    pub(super) recipe: Option<Recipe>,
    pub(super) said_by: String,
    /// What the user should know about it.
    pub(super) notes: Vec<String>,
}

/// What a file, or another beside it, states.
struct Statement {
    recipe: Recipe,
    variant: Option<&'static Variant>,
    by: &'static str,
}

/// Reads the fp32 network in `path` with folded batch norms, and finds out how images are prepared for it. The input has `size`
/// pixels on each side, or as many as the file, the variant or the recipe says, in this order.
///
/// `weights_key` chooses among several sets of weights.
pub(crate) fn import(
    path: &Path,
    arch: Option<Arch>,
    size: Option<u32>,
    weights_key: Option<&str>,
) -> Result<Imported, Error> {
    let config = match (HubConfig::beside(path), arch) {
        (Ok(config), _) => config,
        (Err(_), Some(Arch::Variant(_))) => None,
        (Err(error), _) => {
            let remedy = "name the variant with --arch, or move this file elsewhere";
            return Err(Error::at(&hub_config::path(path), format_args!("{error}; {remedy}")));
        }
    };
    // A checkpoint has no size of its own, so it is read at the right one at once.
    let is_graph = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    let likely = arch.and_then(Arch::variant).map(|variant| u32::from(variant.preprocessing.size));
    let likely = likely.or(config.as_ref().map(|config| config.recipe.size())).filter(|_| !is_graph);
    let is_plain = arch.and_then(Arch::variant).is_some();
    let read = |size: Option<u32>| {
        let input_size = size.map(|size| size as usize);
        network::read(path, ImportOptions { input_size, weights_key, is_plain })
    };
    let (mut network, how) = read(size.or(likely))?;
    network::tell(path, &how);

    let statement = statement(path, &network, config);
    let Knowledge { variant, recipe, said_by, notes } = match (arch, statement) {
        (Some(Arch::Variant(variant)), statement) => explicit(path, &network, variant, statement.as_ref())?,
        (_, Some(statement)) => statement.into(),
        (Some(Arch::Auto(library)), None) => arch::recognised(path, &network, library),
        (None, None) => unknown(path, &network),
    };
    notes.iter().for_each(note);
    if let (None, None, Some(_)) = (size, &recipe, likely) {
        // The configuration turned out to be of another network.
        network = read(None)?.0;
    }
    if let (None, Some(recipe)) = (size, &recipe) {
        let side = network.input.height;
        let other = recipe.size() as usize != side;
        if other && network.origin.fixed_size {
            note(format_args!(
                "{}: its input is fixed at {side}×{side}, and its recipe is for {}×{1}; images are prepared for {side}×{side}: {}",
                path.display(),
                recipe.size(),
                described(&recipe.at(side as u32))
            ));
        } else if other {
            network = read(Some(recipe.size()))?.0;
        }
    }
    Ok(Imported { network, variant, recipe, said_by })
}

/// Returns what the metadata of an ONNX file state, or else the configuration beside the file.
fn statement(path: &Path, network: &Network, config: Option<HubConfig>) -> Option<Statement> {
    let properties = &network.origin.properties;
    let fits = |variant: &&'static Variant| expect(&network.architecture, variant).is_ok();
    match Recipe::from_properties(properties) {
        Ok(Some(recipe)) => {
            let source =
                properties.iter().find(|(key, _)| key == "source").map(|(_, source)| source.as_str());
            let variant = source.and_then(resnext_models::find).filter(fits);
            // The variant knows its crop exactly, and its second size.
            let same = variant.map(Recipe::of).filter(|of| of.at(recipe.size()) == recipe.preprocessing);
            // Where a file normalises the image itself, its graph has the last word.
            let recipe = same.map_or(recipe, |of| Recipe { exif: recipe.exif, ..of.sized(recipe.size()) });
            let recipe = network::normalised(recipe, network);
            return Some(Statement { recipe, variant, by: "the metadata of the file" });
        }
        Ok(None) => {}
        Err(error) => note(format_args!("{}: {error}; they are ignored", path.display())),
    }
    let HubConfig { recipe, architecture, variant } = config?;
    let named = architecture.unwrap_or_default();
    let mut of_name =
        ZOO.iter().filter(|variant| variant.name.split('.').next() == Some(named.as_str())).peekable();
    if of_name.peek().is_some() && !of_name.any(|variant| fits(&variant)) {
        note(format_args!(
            "{}: is the configuration of a {named}, which {} is not; it is ignored",
            hub_config::path(path).display(),
            path.display()
        ));
        return None;
    }
    let recipe = network::normalised(recipe, network);
    Some(Statement { recipe, variant: variant.filter(fits), by: "the config.json beside the file" })
}

impl From<Statement> for Knowledge {
    fn from(Statement { recipe, variant, by }: Statement) -> Self {
        Self { variant, recipe: Some(recipe), said_by: by.to_owned(), notes: Vec::new() }
    }
}

/// Takes the variant that the user names, and says what speaks against it.
fn explicit(
    path: &Path,
    network: &Network,
    variant: &'static Variant,
    statement: Option<&Statement>,
) -> Result<Knowledge, Error> {
    expect(&network.architecture, variant).map_err(|error| remedies::failure(path.display(), &error))?;
    let recipe = Recipe::of(variant);
    let (size, file) = (network.input.height as u32, path.display());
    let differs = |other: &Recipe| {
        described(&other.at(size)) != described(&recipe.at(size)) || other.exif != recipe.exif
    };
    let mut notes = Vec::new();
    if !network.origin.may_be(variant.library) {
        let libraries: Vec<_> = network.origin.libraries.iter().map(|library| library.as_str()).collect();
        notes.push(format!(
            "{file}: has the tensors of {}, and --arch names a variant of {}, whose weights have other names; check --arch",
            libraries.join(" or "),
            variant.library
        ));
    }
    let named = named(path);
    if let Some(statement) = statement {
        if differs(&statement.recipe) {
            let with_exif = statement.recipe.exif != recipe.exif;
            let wanted = |recipe: &Recipe| match with_exif {
                true => format!("{} with --exif {}", described(&recipe.at(size)), recipe.exif.as_str()),
                false => described(&recipe.at(size)),
            };
            notes.push(format!(
                "{file}: {} asks for {}, and --arch {variant} for {}; the latter is taken: leave out --arch if it is wrong",
                statement.by,
                wanted(&statement.recipe),
                wanted(&recipe)
            ));
        }
    } else if let Some(other) = named.first().filter(|_| !named.contains(&variant)) {
        notes.push(format!(
            "{file}: by its name it has the weights of {}, and not those of {}; check --arch",
            arch::listed([*other]),
            arch::listed([variant])
        ));
    } else if let Some(others) = arch::siblings(variant).filter(|_| named.is_empty()) {
        notes.push(format!(
            "{variant}: means the weights {}; the library has published others, which the file may as well have: {}; name \
             them with --arch",
            arch::listed([variant]),
            arch::listed(others)
        ));
    }
    Ok(Knowledge {
        variant: Some(variant),
        recipe: Some(recipe),
        said_by: format!("--arch {variant}"),
        notes,
    })
}

/// Assumes torchvision's usual preprocessing. Says so if the name of the file contradicts it.
fn unknown(path: &Path, network: &Network) -> Knowledge {
    let size = network.input.height as u32;
    let usual = described(&network::preprocessing(None, network));
    let fits = |variant: &&Variant| expect(&network.architecture, variant).is_ok();
    let named = named(path).into_iter().find(fits);
    let other = named.filter(|variant| described(&Recipe::of(variant).at(size)) != usual);
    let note = |variant| {
        format!(
            "{}: by its name it has the weights of {}, and without --arch images are prepared by {usual}; give --arch \
             {variant}",
            path.display(),
            arch::listed([variant])
        )
    };
    Knowledge {
        variant: None,
        recipe: None,
        said_by: "torchvision's, because nothing says otherwise; see --arch".to_owned(),
        notes: other.map(note).into_iter().collect(),
    }
}

/// Returns the variants whose published file has the name of `path`.
pub(super) fn named(path: &Path) -> Vec<&'static Variant> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    names::published_as(&name).collect()
}

/// Describes a preprocessing: `pillow bicubic 235→224`.
pub(crate) fn described(preprocessing: &Preprocessing) -> String {
    let interpolation = preprocessing.interpolation.as_str().replace('-', " ");
    let usual = Preprocessing::imagenet(224, 256);
    let normalisation = match (preprocessing.mean, preprocessing.std) {
        usually if usually == (usual.mean, usual.std) => String::new(),
        (mean, std) => format!(", mean {mean:?}, standard deviation {std:?}"),
    };
    format!("{interpolation} {}→{}{normalisation}", preprocessing.short_side, preprocessing.crop_height)
}

/// Says so if the file of a baseline states another preprocessing than that of the model.
pub(crate) fn compare(path: &Path, network: &Network, model: &Preprocessing) {
    let config = HubConfig::beside(path).unwrap_or_default();
    let Some(statement) = statement(path, network, config) else { return };
    let (theirs, ours) = (statement.recipe.at(network.input.height as u32), model);
    if described(&theirs) != described(ours) {
        note(format_args!(
            "{}: {} asks for {}, and the model prepares images by {}, for both networks; compile it again with the \
             preprocessing of the file",
            path.display(),
            statement.by,
            described(&theirs),
            described(ours)
        ));
    }
}
