//! A network, compiled.

use crate::Error;
use crate::direct::{self, Direct};
use crate::gemm::{self, Gemm, PanelShape};
use crate::memory::Plan;
use crate::node::{Conv, Linear, Node, Op, Rounding, Shape, Window};

/// A network whose weights are packed and whose memory is planned.
#[derive(Debug)]
pub struct Model {
    pub(crate) input: Shape,
    pub(crate) steps: Vec<Step>,
    pub(crate) plan: Plan,
    pub(crate) panels: Vec<PanelShape>,
    pub(crate) scratch_len: usize,
    pub(crate) kept: Vec<usize>,
}

/// A node, compiled.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) input: usize,
    pub(crate) residual: Option<usize>,
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) kind: Kind,
    pub(crate) rounding: Option<Rounding>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Gemm(Box<Gemm>),
    Direct(Direct),
    MaxPool(Window),
    AvgPool(Window),
    GlobalAvgPool,
}

impl Model {
    /// Compiles a network whose value 0 has the shape `input`. The values `keep` can be read after a run, others cannot. Nodes
    /// are taken one by one, and the weights of each are dropped when they are packed.
    ///
    /// # Errors
    ///
    /// A node is an error or does not fit the values that it reads, or `keep` names a value that does not exist.
    pub fn new<E: From<Error>>(
        input: Shape,
        nodes: impl IntoIterator<Item = Result<Node, E>>,
        keep: &[usize],
    ) -> Result<Self, E> {
        let mut shapes = vec![input];
        let (mut steps, mut panels) = (Vec::new(), Vec::new());
        for node in nodes {
            let node = node?;
            let step = Step::new(node, &shapes, &mut panels)?;
            shapes.push(step.to);
            steps.push(step);
        }
        if let Some(&value) = keep.iter().find(|&&value| value >= shapes.len()) {
            return Err(Error::NoSuchValue(value).into());
        }
        let reads: Vec<_> = steps.iter().map(|step| [Some(step.input), step.residual]).collect();
        let lens: Vec<_> = steps.iter().map(|step| step.to.len()).collect();
        let scratch_len = |step: &Step| match &step.kind {
            Kind::Direct(direct) => direct.scratch_len(),
            _ => 0,
        };
        let scratch_len = steps.iter().map(scratch_len).max().unwrap_or(0);
        let plan = Plan::new(&reads, &lens, keep);
        Ok(Self { input, steps, plan, panels, scratch_len, kept: keep.to_vec() })
    }

    /// Returns the shape of a value, or `None` if there is no such value.
    pub fn shape(&self, value: usize) -> Option<Shape> {
        match value.checked_sub(1) {
            None => Some(self.input),
            Some(node) => self.steps.get(node).map(|step| step.to),
        }
    }
}

impl Step {
    fn new(mut node: Node, shapes: &[Shape], panels: &mut Vec<PanelShape>) -> Result<Self, Error> {
        let shape = |value: usize| shapes.get(value).copied().ok_or(Error::NoSuchValue(value));
        let (from, to) = (shape(node.input)?, node.output);
        if from.is_empty() || to.is_empty() {
            return Err(node.error("a value has no elements"));
        }
        let mut residual = None;
        // Only the name of the node is wanted from here on.
        let op = std::mem::replace(&mut node.op, Op::GlobalAvgPool);
        let kind = match op {
            Op::Conv(conv) => {
                residual = conv.residual;
                if let Some(value) = residual
                    && shape(value)? != to
                {
                    return Err(node.error("its residual has another shape"));
                }
                Self::conv(&node, conv, from, panels)?
            }
            Op::MaxPool(window) => {
                check_window(&node, window, from, Window::positions)?;
                if window.padding >= window.kernel {
                    return Err(node.error("some windows lie in the padding"));
                }
                Kind::MaxPool(window)
            }
            Op::AvgPool(window) => {
                check_window(&node, window, from, |window, side| Some(window.positions_started(side)))?;
                Kind::AvgPool(window)
            }
            Op::GlobalAvgPool => {
                if to != (Shape { channels: from.channels, height: 1, width: 1 }) {
                    return Err(node.error("a mean has one pixel"));
                }
                Kind::GlobalAvgPool
            }
            Op::Linear(linear) => Self::linear(&node, linear, from, panels)?,
        };
        Ok(Self { input: node.input, residual, from, to, kind, rounding: node.rounding })
    }

    fn conv(node: &Node, conv: Conv, from: Shape, panels: &mut Vec<PanelShape>) -> Result<Kind, Error> {
        let Conv { window, groups, weight, bias, relu, .. } = conv;
        let to = node.output;
        if window.kernel == 0 {
            return Err(node.error("the window is empty or does not move"));
        }
        let Some(size) = [window.positions(from.height), window.positions(from.width)]
            .into_iter()
            .collect::<Option<Vec<_>>>()
        else {
            return Err(node.error("the window does not fit the image"));
        };
        if size != [to.height, to.width] {
            return Err(node.error("the window has another number of positions"));
        }
        if groups == 0 || !from.channels.is_multiple_of(groups) || !to.channels.is_multiple_of(groups) {
            return Err(node.error("the groups do not divide the channels"));
        }
        let weights = to.channels * (from.channels / groups) * window.kernel * window.kernel;
        if weight.len() != weights || !(bias.is_empty() || bias.len() == to.channels) {
            return Err(node.error("it has another number of weights or biases"));
        }
        if window.kernel == 1 && window.padding == 0 && groups == 1 {
            let stride = window.stride;
            let parts = gemm::Parts { weight, bias: &bias, relu, stride, from, to };
            return Ok(Kind::Gemm(Box::new(Gemm::new(parts, panels)?)));
        }
        let parts = direct::Parts { window, groups, weight: &weight, bias: &bias, relu, from, to };
        Ok(Kind::Direct(Direct::new(&parts)))
    }

    fn linear(node: &Node, linear: Linear, from: Shape, panels: &mut Vec<PanelShape>) -> Result<Kind, Error> {
        let Linear { weight, bias } = linear;
        let to = node.output;
        if from.pixels() != 1 || to.pixels() != 1 {
            return Err(node.error("a fully connected layer reads and writes one pixel"));
        }
        if weight.len() != from.channels * to.channels || !(bias.is_empty() || bias.len() == to.channels) {
            return Err(node.error("it has another number of weights or biases"));
        }
        let parts = gemm::Parts { weight, bias: &bias, relu: false, stride: 1, from, to };
        Ok(Kind::Gemm(Box::new(Gemm::new(parts, panels)?)))
    }
}

fn check_window(
    node: &Node,
    window: Window,
    from: Shape,
    positions: impl Fn(Window, usize) -> Option<usize>,
) -> Result<(), Error> {
    let to = node.output;
    if window.kernel == 0 || window.stride == 0 {
        return Err(node.error("the window is empty or does not move"));
    }
    let sides = [(from.height, to.height), (from.width, to.width)];
    if from.channels != to.channels || sides.iter().any(|&(from, to)| positions(window, from) != Some(to)) {
        return Err(node.error("the window has another number of positions"));
    }
    Ok(())
}
