//! The EXIF orientation of photos: `--exif`.

use crate::terminal::output::note;
use crate::terminal::text::plural;
use clap::ValueEnum;
use resnext::Model;
use resnext_metadata::Metadata;
use resnext_photo::Exif;

/// The option.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ExifOption {
    /// What to do with the EXIF orientation of photos [default: what the library did that published the network]
    #[arg(long, value_name = "RULE")]
    exif: Option<Rule>,
}

/// `--exif`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rule {
    /// Turn photos upright, as OpenCV does, and so mmcls and PaddleClas
    Apply,
    /// Leave photos as they are stored, as Pillow does, and so torchvision and timm
    Ignore,
}

impl ExifOption {
    /// Returns the rule of the option, or `default` without the option.
    pub(crate) fn or(self, default: Exif) -> Exif {
        match self.exif {
            Some(Rule::Apply) => Exif::Apply,
            Some(Rule::Ignore) => Exif::Ignore,
            None => default,
        }
    }

    /// Returns the rule of the option, or that of `model`.
    pub(crate) fn or_of(self, model: &Model<'_>) -> Exif {
        self.or(of_model(model))
    }
}

/// Returns what the metadata of `model` say. A model that says nothing leaves photos as they are stored.
pub(crate) fn of_model(model: &Model<'_>) -> Exif {
    if Metadata::parse(model.metadata()).exif_orientation { Exif::Apply } else { Exif::Ignore }
}

/// Tells the user that some of the `images` are to be turned, and what becomes of them. `what` names them: samples or images.
pub(crate) fn note_rotated(what: &str, rotated: usize, images: usize, exif: Exif) {
    if rotated == 0 {
        return;
    }
    let (they, have) = if rotated == 1 { ("it is", "has") } else { ("they are", "have") };
    let (done, other) = match exif {
        Exif::Apply => ("turned upright", "--exif ignore reads photos as they are stored"),
        Exif::Ignore => ("read as stored", "--exif apply turns photos upright"),
    };
    note(format_args!(
        "{rotated} of {images} {what}{} {have} an EXIF orientation; {they} {done}; {other}",
        plural(images)
    ));
}
