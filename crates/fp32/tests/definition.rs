//! Every operation equals its definition, computed in f64, whatever the shapes.

use std::sync::Arc;

use resnext_fp32::{Conv, Error, Linear, Model, Node, Op, Rounding, Runner, Shape, Window};

/// Returns numbers between −1 and 1 that look random.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn run(input: Shape, nodes: Vec<Node>, image: &[f32]) -> Vec<f32> {
    let last = nodes.len();
    let model = Model::new(input, nodes.into_iter().map(Ok::<_, Error>), &[last]).expect("a model");
    let mut runner = Runner::new(Arc::new(model)).expect("a runner");
    runner.run(image).expect("a run");
    let first = runner.value(last).to_vec();
    // What an earlier run has left in memory does not matter.
    runner.run(&noise(99, input.len())).expect("a run");
    runner.run(image).expect("a run");
    assert_eq!(runner.value(last), first);
    first
}

/// Returns the output shape of a window with whole positions.
fn positions(from: Shape, channels: usize, window: Window) -> Option<Shape> {
    let side =
        |side: usize| Some((side + 2 * window.padding).checked_sub(window.kernel)? / window.stride + 1);
    Some(Shape { channels, height: side(from.height)?, width: side(from.width)? })
}

fn convolve(conv: &Conv, from: Shape, to: Shape, input: &[f32], residual: Option<&[f32]>) -> Vec<f64> {
    let Window { kernel, stride, padding } = conv.window;
    let (inputs, outputs) = (from.channels / conv.groups, to.channels / conv.groups);
    let mut result = Vec::new();
    for o in 0..to.channels {
        for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
            let mut sum = conv.bias.get(o).map_or(0.0, |&bias| f64::from(bias));
            for (i, ky, kx) in (0..inputs)
                .flat_map(|i| (0..kernel).flat_map(move |ky| (0..kernel).map(move |kx| (i, ky, kx))))
            {
                let (Some(row), Some(column)) =
                    ((y * stride + ky).checked_sub(padding), (x * stride + kx).checked_sub(padding))
                else {
                    continue;
                };
                if row < from.height && column < from.width {
                    let channel = o / outputs * inputs + i;
                    let pixel = input[(channel * from.height + row) * from.width + column];
                    sum += f64::from(pixel)
                        * f64::from(conv.weight[((o * inputs + i) * kernel + ky) * kernel + kx]);
                }
            }
            sum += residual.map_or(0.0, |residual| f64::from(residual[result.len()]));
            result.push(if conv.relu { sum.max(0.0) } else { sum });
        }
    }
    result
}

fn assert_close(actual: &[f32], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3, |max: f64, value| max.max(value.abs()));
    for (index, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs() / largest;
        assert!(error < 1e-5, "{what}, element {index}: {actual}, not {expected}");
    }
}

#[test]
fn convolutions_of_all_shapes() {
    let mut tried = 0;
    for (height, width) in [(1, 1), (1, 9), (7, 7), (8, 5), (15, 23), (30, 26)] {
        for (kernel, stride, padding) in [
            (1, 1, 0),
            (1, 2, 0),
            (1, 3, 1),
            (2, 2, 0),
            (3, 1, 1),
            (3, 2, 1),
            (3, 3, 0),
            (5, 2, 4),
            (7, 2, 3),
        ] {
            for (groups, inputs, outputs) in
                [(1, 3, 8), (1, 16, 16), (4, 4, 4), (2, 8, 8), (3, 5, 7), (5, 1, 1)]
            {
                let window = Window { kernel, stride, padding };
                let from = Shape { channels: groups * inputs, height, width };
                let Some(to) = positions(from, groups * outputs, window) else { continue };
                tried += 1;
                for (relu, add) in [(false, false), (true, false), (false, true), (true, true)] {
                    let conv = Conv {
                        window,
                        groups,
                        weight: noise(1, to.channels * inputs * kernel * kernel),
                        bias: if relu { noise(2, to.channels) } else { Vec::new() },
                        residual: None,
                        relu,
                    };
                    let image = noise(3, from.len());
                    let what = format!("{from:?} → {to:?}, {window:?}, {groups} groups, {relu}, {add}");
                    let mut nodes = Vec::new();
                    let mut residual = None;
                    let mut conv = conv;
                    if add {
                        // The residual comes from another convolution of the same image.
                        let other = Conv { weight: noise(4, conv.weight.len()), relu: false, ..conv.clone() };
                        residual =
                            Some(run(from, vec![Node::new("other", 0, to, Op::Conv(other.clone()))], &image));
                        nodes.push(Node::new("other", 0, to, Op::Conv(other)));
                        conv.residual = Some(1);
                    }
                    let expected = convolve(&conv, from, to, &image, residual.as_deref());
                    nodes.push(Node::new("conv", 0, to, Op::Conv(conv)));
                    assert_close(&run(from, nodes, &image), &expected, &what);
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// A segment of a network may add the value that it begins with.
#[test]
fn the_input_may_be_a_residual() {
    let shape = Shape { channels: 3, height: 4, width: 5 };
    for kernel in [1, 3] {
        let window = Window { kernel, stride: 1, padding: kernel / 2 };
        let weight = noise(8, 9 * kernel * kernel);
        let conv = Conv { window, groups: 1, weight, bias: Vec::new(), residual: Some(0), relu: true };
        let image = noise(9, shape.len());
        let expected = convolve(&conv, shape, shape, &image, Some(&image));
        let node = Node::new("conv", 0, shape, Op::Conv(conv));
        assert_close(&run(shape, vec![node], &image), &expected, &format!("kernel {kernel}"));
    }
}

#[test]
fn classifiers_of_all_shapes() {
    for (features, classes) in [(1, 1), (3, 10), (64, 1000), (2048, 21)] {
        let (weight, bias) = (noise(5, features * classes), noise(6, classes));
        let image = noise(7, features);
        let expected: Vec<f64> = weight
            .chunks(features)
            .zip(&bias)
            .map(|(row, &bias)| {
                row.iter().zip(&image).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>()
                    + f64::from(bias)
            })
            .collect();
        let (from, to) = (
            Shape { channels: features, height: 1, width: 1 },
            Shape { channels: classes, height: 1, width: 1 },
        );
        let node = Node::new("fc", 0, to, Op::Linear(Linear { weight, bias }));
        assert_close(&run(from, vec![node], &image), &expected, &format!("{features} → {classes}"));
    }
}

#[test]
fn max_pools_ignore_padding() {
    let from = Shape { channels: 2, height: 3, width: 3 };
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    let image: Vec<f32> = (0..18).map(|i| -1.0 - i as f32).collect();
    let node = Node::new("pool", 0, positions(from, 2, window).expect("fits"), Op::MaxPool(window));
    assert_eq!(run(from, vec![node], &image), [-1.0, -2.0, -4.0, -5.0, -10.0, -11.0, -13.0, -14.0]);
}

#[test]
fn rounding_is_that_of_int8() {
    let shape = Shape { channels: 1, height: 1, width: 8 };
    let window = Window { kernel: 1, stride: 1, padding: 0 };
    let identity =
        Conv { window, groups: 1, weight: vec![1.0], bias: Vec::new(), residual: None, relu: false };
    let mut node = Node::new("conv", 0, shape, Op::Conv(identity));
    node.rounding = Some(Rounding { scale: 0.5, limits: [-3.0, 2.0] });
    let image = [-9.0, -1.5, -0.75, -0.25, 0.2, 0.25, 0.75, 9.0];
    assert_eq!(run(shape, vec![node], &image), [-1.5, -1.5, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn nodes_that_do_not_fit_are_errors() {
    let input = Shape { channels: 4, height: 5, width: 5 };
    let window = Window { kernel: 3, stride: 1, padding: 1 };
    let sound =
        Conv { window, groups: 2, weight: vec![0.0; 72], bias: Vec::new(), residual: None, relu: false };
    let attempt = |input_value: usize, output: Shape, op: Op, keep: usize| {
        let node = Node::new("odd", input_value, output, op);
        Model::new(input, [Ok::<_, Error>(node)], &[keep]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(attempt(0, input, Op::Conv(sound.clone()), 1), Ok(()));
    let wide = Window { kernel: 9, ..window };
    let still = Window { stride: 0, ..window };
    for (value, output, op, keep) in [
        (1, input, Op::Conv(sound.clone()), 1),
        (0, input, Op::Conv(sound.clone()), 2),
        (0, Shape { height: 4, ..input }, Op::Conv(sound.clone()), 1),
        (0, Shape { channels: 0, ..input }, Op::Conv(sound.clone()), 1),
        (0, input, Op::Conv(Conv { groups: 3, ..sound.clone() }), 1),
        (0, input, Op::Conv(Conv { groups: 0, ..sound.clone() }), 1),
        (0, input, Op::Conv(Conv { window: wide, ..sound.clone() }), 1),
        (0, input, Op::Conv(Conv { window: still, ..sound.clone() }), 1),
        (0, input, Op::Conv(Conv { bias: vec![0.0], ..sound.clone() }), 1),
        (0, input, Op::Conv(Conv { weight: vec![0.0], ..sound.clone() }), 1),
        (
            0,
            Shape { channels: 2, ..input },
            Op::Conv(Conv { weight: vec![0.0; 36], residual: Some(0), ..sound.clone() }),
            1,
        ),
        (0, input, Op::Conv(Conv { residual: Some(7), ..sound.clone() }), 1),
        (0, input, Op::MaxPool(still), 1),
        (0, input, Op::MaxPool(Window { padding: 3, ..window }), 1),
        (0, input, Op::AvgPool(still), 1),
        (0, input, Op::GlobalAvgPool, 1),
        (0, input, Op::Linear(Linear { weight: vec![0.0; 16], bias: Vec::new() }), 1),
    ] {
        let line = attempt(value, output, op.clone(), keep).expect_err(&format!("{op:?}"));
        assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    }
}
