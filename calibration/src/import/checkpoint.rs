//! From named tensors to a [`Network`].
//!
//! Two things vary between checkpoints, independently of each other: how the *file* stores tensors ([`TensorFile`], which a reader
//! for each format fills) and how the *library* names them ([`KeyScheme`]). The walk over the architecture below serves all.

mod schemes;

use std::collections::HashSet;

use super::ImportOptions;
use super::assembly::{Builder, SHORTCUT_POOL, STEM_POOL, pointwise, spatial, stem};
use super::checks::finite;
use super::error::{ImportErrorKind, Location};
use super::families::Family;
use super::parts::{Bottleneck, Part, Pool, Projection};
use crate::network::{BatchNorm, Conv, Linear, Network, Shape, Window};
use resnext_checkpoint::{StoredTensor, TensorFile};
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
) -> Result<Network, ImportErrorKind> {
    if let Some((family, name)) = file.names().find_map(|name| Some((Family::of_tensor(name)?, name))) {
        return Err(family.refusal(Location::Tensor(name.to_owned())));
    }
    let Some(scheme) = schemes::recognise(file) else {
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
    Walk { file, scheme: &*scheme, read: HashSet::new() }.network(name, options)
}

/// A walk over the architecture that reads each layer's tensors.
struct Walk<'a> {
    file: &'a TensorFile,
    scheme: &'a dyn KeyScheme,
    /// The names that were read. Tensors that are left at the end do not belong to a ResNeXt.
    read: HashSet<String>,
}

impl Walk<'_> {
    fn network(mut self, name: String, options: ImportOptions) -> Result<Network, ImportErrorKind> {
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
        let (location, linear) = self.linear(channels)?;
        let network = builder.finish(&location, linear, None)?;
        self.expect_nothing_left(&network)?;
        Ok(network)
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
            ref other => return Err(misshapen(&keys.weight, other, &expected)),
        };
        let [scale, shift, mean, variance] = &keys.batch_norm;
        let mut vector = |name: &str| self.tensor(name, &[out_channels]);
        let batch_norm = BatchNorm {
            scale: vector(scale)?,
            shift: vector(shift)?,
            mean: vector(mean)?,
            variance: vector(variance)?,
            epsilon: EPSILON,
        };
        let weight = self.take(&keys.weight)?;
        let conv = Conv {
            window,
            groups,
            in_channels,
            out_channels,
            weight: weight.into(),
            bias: Vec::new(),
            batch_norm: Some(batch_norm),
            statistics: None,
            residual: None,
            relu: false,
        };
        Ok(Part { location: Location::Tensor(keys.weight), conv, quantization: None })
    }

    fn linear(&mut self, in_features: usize) -> Result<(Location, Linear), ImportErrorKind> {
        let LinearKeys { weight, bias, transposed } = self.scheme.linear();
        let expected = match transposed {
            true => format!("[{in_features}, classes]"),
            false => format!("[classes, {in_features}]"),
        };
        // The WSL programs of Paddle have the names of PyTorch and the order of Paddle.
        let (out_features, transposed) = match *self.shape(&weight, &expected)? {
            [features, classes]
                if classes > 0 && features == in_features && (transposed || classes != features) =>
            {
                (classes, true)
            }
            [classes, features] if classes > 0 && features == in_features && !transposed => (classes, false),
            ref other => return Err(misshapen(&weight, other, &expected)),
        };
        let matrix = self.take(&weight)?;
        let linear = Linear {
            in_features,
            out_features,
            weight: if transposed { matrix.transposed() } else { matrix }.into(),
            bias: self.tensor(&bias, &[out_features])?,
        };
        Ok((Location::Tensor(weight), linear))
    }

    fn shape(&self, name: &str, expected: &str) -> Result<&[usize], ImportErrorKind> {
        let shape = self.file.get(name).map(|entry| entry.shape.as_slice());
        shape.ok_or_else(|| ImportErrorKind::Missing {
            location: Location::Tensor(name.to_owned()),
            remedy: format!("expected it with shape {expected}"),
        })
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
            Some(Err(reason)) => {
                Err(ImportErrorKind::layer(location, reason, "expected float32, float16 or bfloat16"))
            }
            None => Err(ImportErrorKind::Missing { location, remedy: "check the file".into() }),
        }
    }

    fn expect_nothing_left(&self, network: &Network) -> Result<(), ImportErrorKind> {
        let left = |name: &&str| !self.scheme.ignores(name) && !self.read.contains(*name);
        match self.file.names().filter(left).min() {
            None => Ok(()),
            Some(name) => Err(ImportErrorKind::Unexpected {
                location: Location::Tensor(name.to_owned()),
                remedy: format!(
                    "expected only the tensors of a ResNeXt with {:?} blocks, named as in {}",
                    network.architecture.blocks,
                    self.scheme.name()
                ),
            }),
        }
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
