//! From named tensors to a [`Network`].
//!
//! Two things vary between checkpoints, independently of each other: how the *file* stores tensors ([`TensorFile`], which a reader
//! for each format fills) and how the *library* names them ([`KeyScheme`]). The walk over the architecture below serves all.

mod head;
mod pruning;
mod schemes;
mod training;

use std::collections::HashSet;

use super::assembly::{Builder, SHORTCUT_POOL, STEM_POOL, pointwise, spatial, stem};
use super::checks::finite;
use super::error::{ImportErrorKind, Location};
use super::families::Family;
use super::notes::Note;
use super::parts::{Bottleneck, Part, Pool, Projection};
use super::{ImportOptions, Imported};
use crate::network::{BatchNorm, Conv, Linear, Network, Shape, Window};
use head::{Head, NoHead};
use resnext_checkpoint::{Choice, StoredTensor, TensorFile, Unread};
use resnext_models::Library;
use schemes::{ANCHORS, KeyScheme, Layer, LinearKeys};

/// ε of every batch norm. No checkpoint stores it, and every library uses the same.
const EPSILON: f32 = 1e-5;

/// Builds the network `name` from `file`. Blocks, widths and cardinality follow from the shapes.
///
/// # Errors
///
/// The names follow no known scheme, or a tensor is missing, unexpected, misshapen or not finite.
pub(super) fn load(
    file: &TensorFile,
    name: String,
    options: ImportOptions,
) -> Result<Imported, ImportErrorKind> {
    if let Some((family, name)) = Family::of_tensors(file.names()) {
        return Err(family.refusal(Location::Tensor(name.to_owned())));
    }
    let Choice { taken, others } = file.choice();
    let (file, pruned) = pruning::apply(file)?;
    let Some(scheme) = schemes::recognise(&file)? else {
        let seen = file.names().next().unwrap_or("nothing");
        return Err(ImportErrorKind::Missing {
            location: Location::Tensor(ANCHORS[0].to_owned()),
            remedy: format!(
                "expected it or `{}`, but the file starts with `{}`",
                ANCHORS[1..].join("` or `"),
                seen.escape_debug()
            ),
        });
    };
    let mut notes = Vec::new();
    if !others.is_empty() {
        notes.push(Note::Weights { taken: taken.clone(), others: others.clone() });
    }
    if pruned > 0 {
        notes.push(Note::Pruned(pruned));
    }
    if !options.is_plain {
        notes.push(Note::Assumed);
    }
    Walk { file: &file, scheme: &*scheme, read: HashSet::new(), notes }.network(name, options)
}

/// A walk over the architecture that reads each layer's tensors.
struct Walk<'a> {
    file: &'a TensorFile,
    scheme: &'a dyn KeyScheme,
    /// The names that were read. Tensors that are left at the end do not belong to a ResNeXt.
    read: HashSet<String>,
    notes: Vec<Note>,
}

impl<'a> Walk<'a> {
    fn network(mut self, name: String, options: ImportOptions) -> Result<Imported, ImportErrorKind> {
        let side = options.resolve(None)?;
        let mut builder = Builder::new(name, Shape { channels: 3, height: side, width: side });
        let mut channels = 3;
        let mut convs = Vec::new();
        for (index, &window) in stem(self.scheme.stem()).iter().enumerate() {
            let part = self.conv(Layer::Stem { index }, channels, window)?;
            channels = part.conv.out_channels;
            convs.push(part);
        }
        // A checkpoint holds no trace of the pooling, and every library has this one.
        builder.stem(
            convs,
            &Pool { location: Location::Graph, window: STEM_POOL, ceil: false, quantization: None },
        )?;
        let first = |stage, block| Layer::Conv { stage, block, index: 1 };
        if let Some([_, _, 3, 3]) = self.file.get(&self.scheme.conv(first(1, 0)).weight).map(|e| &*e.shape) {
            let location = Location::Tensor(self.scheme.conv(first(1, 0)).weight);
            return Err(Family::BasicBlocks.refusal(location));
        }
        let mut stage = 1;
        while self.has(first(stage, 0)) {
            let mut block = 0;
            while self.has(first(stage, block)) {
                let part = self.bottleneck(stage, block, channels)?;
                channels = part.conv3.conv.out_channels;
                builder.block(part)?;
                block += 1;
            }
            stage += 1;
        }
        let (location, linear, transposed) = self.linear(channels)?;
        let mut network = builder.finish(&location, linear, None)?;
        // Only Paddle stores the classifier as `[features, classes]`, whatever the names.
        let libraries = if transposed { &[Library::Ppcls][..] } else { self.scheme.libraries() };
        network.origin.libraries = libraries.to_vec();
        self.expect_nothing_left(&network)?;
        Ok(Imported { network, notes: self.notes })
    }

    fn has(&self, layer: Layer) -> bool {
        self.file.get(&self.scheme.conv(layer).weight).is_some()
    }

    fn bottleneck(
        &mut self,
        stage: usize,
        block: usize,
        channels: usize,
    ) -> Result<Bottleneck, ImportErrorKind> {
        let opens = block == 0;
        // The first stage keeps the resolution of the stem.
        let stride = if opens && stage > 1 { 2 } else { 1 };
        let conv1 = self.conv(Layer::Conv { stage, block, index: 1 }, channels, pointwise(1))?;
        let width = conv1.conv.out_channels;
        let conv2 = self.conv(Layer::Conv { stage, block, index: 2 }, width, spatial(stride))?;
        let conv3 = self.conv(Layer::Conv { stage, block, index: 3 }, width, pointwise(1))?;
        let shortcut = Layer::Downsample { stage };
        let projects = opens && (stage > 1 || self.has(shortcut));
        let downsample = if projects {
            let averages = stride > 1 && self.scheme.averages(stage);
            let pool = averages.then_some(Pool {
                location: Location::Graph,
                window: SHORTCUT_POOL,
                ceil: true,
                quantization: None,
            });
            let window = pointwise(if averages { 1 } else { stride });
            Some(Projection { pool, conv: self.conv(shortcut, channels, window)? })
        } else {
            None
        };
        Ok(Bottleneck { conv1, conv2, conv3, downsample })
    }

    /// Reads a convolution of `in_channels` channels. Only the 3×3 of a bottleneck may be grouped.
    fn conv(&mut self, layer: Layer, in_channels: usize, window: Window) -> Result<Part, ImportErrorKind> {
        let keys = self.scheme.conv(layer);
        let kernel = window.kernel;
        let may_group = matches!(layer, Layer::Conv { index: 2, .. });
        let per_group = if may_group { "channels a group".into() } else { in_channels.to_string() };
        let out = if may_group { in_channels.to_string() } else { "channels".into() };
        let expected = format!("[{out}, {per_group}, {kernel}, {kernel}]");
        let (out_channels, groups) = match *self.shape(&keys.weight, &expected)? {
            [out, per_group, kh, kw]
                if out > 0
                    && per_group > 0
                    && [kh, kw] == [kernel; 2]
                    && in_channels.is_multiple_of(per_group)
                    && if may_group { out == in_channels } else { per_group == in_channels } =>
            {
                (out, in_channels / per_group)
            }
            [_, 3, 3, 3] if matches!(layer, Layer::Stem { index: 0 }) && kernel == 7 => {
                return Err(ImportErrorKind::layer(
                    Location::Tensor(keys.weight),
                    "its stem is a single 3×3 convolution, as in RegNets and in ResNets for CIFAR",
                    "expected a 7×7 convolution, or three 3×3",
                ));
            }
            ref other => return Err(misshapen(&keys.weight, other, &expected)),
        };
        let [scale, shift, mean, variance] = &keys.batch_norm;
        let bias = keys.weight.strip_suffix(".weight").map(|module| format!("{module}.bias"));
        let bias = bias.filter(|bias| self.file.get(bias).is_some());
        // What fuses batch norms into their convolutions leaves biases, and no trace of the norms.
        let is_fused = bias.is_some() && keys.batch_norm.iter().all(|name| self.file.get(name).is_none());
        if self.file.get(scale).is_some()
            && self.file.get(mean).is_none()
            && self.file.get(variance).is_none()
        {
            return Err(ImportErrorKind::layer(
                Location::Tensor(scale.clone()),
                "its norm has no running mean and variance, so it is a group norm, a layer norm, or a batch norm that keeps none",
                "give a network with batch norms that have their statistics",
            ));
        }
        let mut vector = |name: &str| self.tensor(name, &[out_channels]);
        let bias = bias.map_or(Ok(Vec::new()), |bias| vector(&bias))?;
        let batch_norm = match is_fused {
            true => None,
            false => Some(BatchNorm {
                scale: vector(scale)?,
                shift: vector(shift)?,
                mean: vector(mean)?,
                variance: vector(variance)?,
                epsilon: EPSILON,
            }),
        };
        let weight = self.take(&keys.weight)?;
        let conv = Conv {
            window,
            groups,
            in_channels,
            out_channels,
            weight: weight.into(),
            bias,
            batch_norm,
            statistics: None,
            residual: None,
            relu: false,
        };
        Ok(Part { location: Location::Tensor(keys.weight), conv, quantization: None })
    }

    /// Reads the classifier. The last value tells whether the file has its weight as `[features, classes]`.
    fn linear(&mut self, in_features: usize) -> Result<(Location, Linear, bool), ImportErrorKind> {
        let keys = self.scheme.linear();
        let transposed = keys.transposed;
        let expected = match transposed {
            true => format!("[{in_features}, classes]"),
            false => format!("[classes, {in_features}]"),
        };
        let usual = keys.weight.clone();
        let left: Vec<&str> = self.left().filter(|name| !training::belongs(name)).collect();
        let Head { keys: LinearKeys { weight, bias, .. }, sequence } =
            head::find(self.file, keys, in_features, &left)
                .map_err(|none| no_head(&none, usual, &expected))?;
        // The WSL programs of Paddle have the names of PyTorch and the order of Paddle.
        let shape = self.shape(&weight, &expected)?;
        let (out_features, transposed) = match head::matrix(shape) {
            Some([features, classes])
                if classes > 0 && features == in_features && (transposed || classes != features) =>
            {
                (classes, true)
            }
            Some([classes, features]) if classes > 0 && features == in_features && !transposed => {
                (classes, false)
            }
            Some([_, twice]) if twice == 2 * in_features => {
                return Err(ImportErrorKind::layer(
                    Location::Tensor(weight),
                    format!(
                        "it reads twice the {in_features} features, as after an average and a maximum (catavgmax)"
                    ),
                    "expected average pooling alone before the classifier",
                ));
            }
            _ => return Err(misshapen(&weight, shape, &expected)),
        };
        let matrix = head::as_matrix(self.take(&weight)?);
        self.notes.extend(sequence.map(Note::Sequence));
        let linear = Linear {
            in_features,
            out_features,
            weight: if transposed { matrix.transposed() } else { matrix }.into(),
            bias: match self.file.get(&bias) {
                Some(_) => self.tensor(&bias, &[out_features])?,
                None => Vec::new(),
            },
        };
        Ok((Location::Tensor(weight), linear, transposed))
    }

    /// Returns the shape of a tensor that must be there and consist of floats.
    fn shape(&self, name: &str, expected: &str) -> Result<&[usize], ImportErrorKind> {
        let location = || Location::Tensor(name.to_owned());
        match self.file.get(name) {
            Some(entry) => match &entry.data {
                Ok(_) => Ok(&entry.shape),
                Err(Unread { reason, remedy }) => Err(ImportErrorKind::layer(location(), reason, *remedy)),
            },
            None => Err(ImportErrorKind::Missing {
                location: location(),
                remedy: format!("expected it with shape {expected}"),
            }),
        }
    }

    /// Reads a tensor that must have exactly `shape`.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ImportErrorKind> {
        let expected = format!("{shape:?}");
        match self.shape(name, &expected)? {
            found if found == shape => Ok(self.take(name)?.read()),
            other => Err(misshapen(name, other, &expected)),
        }
    }

    /// Takes the tensor `name`, and checks that all its elements are finite.
    fn take(&mut self, name: &str) -> Result<StoredTensor, ImportErrorKind> {
        self.read.insert(name.to_owned());
        let location = Location::Tensor(name.to_owned());
        match self.file.get(name).map(|entry| &entry.data) {
            Some(Ok(tensor)) => finite(&location, &tensor.read()).map(|()| tensor.clone()),
            Some(Err(unread)) => Err(ImportErrorKind::layer(location, &unread.reason, unread.remedy)),
            None => Err(ImportErrorKind::Missing { location, remedy: "check the file".into() }),
        }
    }

    /// Lists the tensors that have not been read, but for those that play no part in inference.
    fn left(&self) -> impl Iterator<Item = &'a str> {
        self.file.names().filter(|name| !self.scheme.ignores(name) && !self.read.contains(*name))
    }

    /// Checks that all tensors were read but those that belong to training, and notes those.
    fn expect_nothing_left(&mut self, network: &Network) -> Result<(), ImportErrorKind> {
        // No layer has weights that are integers, but counters are.
        let counts = |name: &str| self.file.get(name).is_some_and(|entry| entry.data.is_err());
        let (training, other): (Vec<&str>, Vec<&str>) =
            self.left().partition(|name| training::belongs(name) || counts(name));
        let Some(&name) = other.iter().min() else {
            let multi_label = training.iter().find(|name| training::is_multi_label(name));
            self.notes.extend(multi_label.map(|name| Note::MultiLabel((*name).to_owned())));
            if !training.is_empty() {
                self.notes.push(Note::Training(training.into_iter().map(str::to_owned).collect()));
            }
            return Ok(());
        };
        let location = Location::Tensor(name.to_owned());
        let last = name.rsplit('.').next().unwrap_or(name);
        if matches!(last, "mean" | "std" | "pixel_mean" | "pixel_std") {
            return Err(ImportErrorKind::layer(
                location,
                "the model seems to normalise its image itself",
                "save the state dict of the network inside, or export the whole model as ONNX",
            ));
        }
        Err(ImportErrorKind::Unexpected {
            location,
            remedy: format!(
                "expected only the tensors of a ResNeXt with {:?} blocks, named as in {}{}; if the network computes nothing with \
                 {}, save the state dict without, or else export the network as ONNX",
                network.architecture.blocks,
                self.scheme.name(),
                if other.len() > 1 { format!(" ({} more are not)", other.len() - 1) } else { String::new() },
                if other.len() > 1 { "them" } else { "it" },
            ),
        })
    }
}

/// Makes the error for a network without a classifier.
fn no_head(none: &NoHead, usual: String, expected: &str) -> ImportErrorKind {
    let location = Location::Tensor(usual);
    let found = match none {
        NoHead::Missing => {
            return ImportErrorKind::Missing {
                location,
                remedy: format!(
                    "expected it with shape {expected}; a network without classifier gives no labels"
                ),
            };
        }
        NoHead::Several(found) => found,
    };
    let names: Vec<String> = found.iter().map(|name| format!("`{}`", name.escape_debug())).collect();
    let what = if names.len() == 1 { "is in its place" } else { "are in its place" };
    ImportErrorKind::Missing {
        location,
        remedy: format!(
            "expected it with shape {expected}, one linear layer, but {} {what}, so export the network as ONNX",
            names.join(", ")
        ),
    }
}

fn misshapen(name: &str, found: &[usize], expected: &str) -> ImportErrorKind {
    ImportErrorKind::layer(
        Location::Tensor(name.to_owned()),
        format!("its shape is {found:?}"),
        format!("expected {expected}"),
    )
}

#[cfg(test)]
mod tests;
