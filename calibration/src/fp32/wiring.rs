//! From nodes of a [`Network`](crate::network::Network) to nodes of tract.

use tract_core::internal::*;
use tract_core::ops::cnn::{Conv as TractConv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use super::error::Fp32Error;
use crate::network::{Conv, Linear, Node as NetworkNode, Op as NetworkOp, Shape, ValueId, Window};

/// The wires of the values that are computed so far.
pub(super) struct Wires(pub(super) Vec<OutletId>);

impl Wires {
    fn get(&self, value: ValueId) -> Result<OutletId, Fp32Error> {
        self.0.get(value.0).copied().ok_or(Fp32Error::NoSuchValue(value.0))
    }
}

pub(super) fn nchw(Shape { channels, height, width }: Shape) -> [usize; 4] {
    [1, channels, height, width]
}

/// Adds `node`, which reads a value of shape `input`, and everything fused into it.
pub(super) fn wire(
    model: &mut TypedModel,
    node: &NetworkNode,
    wires: &Wires,
    input: Shape,
) -> Result<OutletId, Fp32Error> {
    let name = node.name.as_str();
    let from = wires.get(node.input)?;
    match &node.op {
        NetworkOp::Conv(conv) if conv.batch_norm.is_some() => Err(Fp32Error::NotFolded(name.to_owned())),
        NetworkOp::Conv(conv) => {
            let mut wire = wire_conv(model, name, conv, from)?;
            if let Some(residual) = conv.residual {
                let operands = [wire, wires.get(residual)?];
                wire = model.wire_node(format!("{name}.add"), tract_core::ops::math::add(), &operands)?[0];
            }
            if conv.relu {
                let zero = model.add_const(format!("{name}.zero"), tensor0(0f32).broadcast_into_rank(4)?)?;
                let max = tract_core::ops::math::max();
                wire = model.wire_node(format!("{name}.relu"), max, &[wire, zero])?[0];
            }
            Ok(wire)
        }
        &NetworkOp::MaxPool(window) => {
            let pool = MaxPool::new(pool_spec(window, input.channels, input.channels), None);
            Ok(model.wire_node(name, pool, &[from])?[0])
        }
        &NetworkOp::AvgPool(window) => {
            let spec = PoolSpec {
                padding: PaddingSpec::ExplicitOnnxPool(tvec!(0; 2), tvec!(0; 2), true),
                ..pool_spec(window, input.channels, input.channels)
            };
            let (count_include_pad, normalize) = (false, true);
            Ok(model.wire_node(name, SumPool::new(spec, count_include_pad, normalize), &[from])?[0])
        }
        NetworkOp::GlobalAvgPool => {
            let sum = Reduce::new(tvec!(2, 3), Reducer::Sum);
            let sum = model.wire_node(format!("{name}.sum"), sum, &[from])?[0];
            let pixels = (input.height * input.width) as f32;
            let pixels =
                model.add_const(format!("{name}.pixels"), tensor0(pixels).broadcast_into_rank(4)?)?;
            Ok(model.wire_node(name, tract_core::ops::math::div(), &[sum, pixels])?[0])
        }
        NetworkOp::Linear(linear) => Ok(wire_linear(model, name, linear, from)?),
    }
}

fn wire_conv(model: &mut TypedModel, name: &str, conv: &Conv, from: OutletId) -> TractResult<OutletId> {
    let Conv { window, groups, in_channels, out_channels, .. } = *conv;
    ensure!(groups > 0, "{name} has no groups");
    let shape = [out_channels, in_channels / groups, window.kernel, window.kernel];
    let weight =
        model.add_const(format!("{name}.weight"), Tensor::from_shape(&shape, &conv.weight.read())?)?;
    let bias = if conv.bias.is_empty() { tensor1(&vec![0f32; out_channels]) } else { tensor1(&conv.bias) };
    let bias = model.add_const(format!("{name}.bias"), bias)?;
    let spec = pool_spec(window, in_channels, out_channels);
    let op = TractConv::new(spec, KernelFormat::OIHW, groups, None);
    Ok(model.wire_node(name, op, &[from, weight, bias])?[0])
}

fn wire_linear(model: &mut TypedModel, name: &str, linear: &Linear, from: OutletId) -> TractResult<OutletId> {
    let mut flat = from;
    for axis in [3, 2] {
        flat = model.wire_node(format!("{name}.squeeze{axis}"), AxisOp::Rm(axis), &[flat])?[0];
    }
    let shape = [linear.out_features, linear.in_features];
    let weight =
        model.add_const(format!("{name}.weight"), Tensor::from_shape(&shape, &linear.weight.read())?)?;
    let product = EinSum::new("mk,nk->mn".parse()?, f32::datum_type());
    let product = model.wire_node(format!("{name}.product"), product, &[flat, weight])?[0];
    if linear.bias.is_empty() {
        return Ok(product);
    }
    let bias = Tensor::from_shape(&[1, linear.out_features], &linear.bias)?;
    let bias = model.add_const(format!("{name}.bias"), bias)?;
    Ok(model.wire_node(name, tract_core::ops::math::add(), &[product, bias])?[0])
}

fn pool_spec(Window { kernel, stride, padding }: Window, from: usize, to: usize) -> PoolSpec {
    let padding = PaddingSpec::Explicit(tvec!(padding; 2), tvec!(padding; 2));
    PoolSpec::new(DataFormat::NCHW, tvec!(kernel; 2), padding, None, Some(tvec!(stride; 2)), from, to)
}
