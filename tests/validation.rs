//! Artifacts whose every field is in its range, and that would still give logits that depend on the kernels or on what the
//! memory held before.

use resnext::internals::format::{
    Block, LinearBlock, MAX_STEPS, SectionId, StepKind, StepRecord, TENSOR_SLACK, TensorRecord,
};
use resnext::internals::weights::UNIT;
use resnext::pack::{Packing, repack};
use resnext::{LoadError, Model};
use resnext_testing::builder::{Built, Window};
use resnext_testing::{deep, fix_checksum, header, section, small};
use zerocopy::{FromBytes, IntoBytes};

fn steps(artifact: &mut [u8]) -> &mut [StepRecord] {
    let steps = section(artifact, SectionId::Steps);
    <[StepRecord]>::mut_from_bytes(&mut artifact[steps]).unwrap()
}

fn tensors(artifact: &mut [u8]) -> &mut [TensorRecord] {
    let tensors = section(artifact, SectionId::Tensors);
    <[TensorRecord]>::mut_from_bytes(&mut artifact[tensors]).unwrap()
}

/// Checks that `artifact` is refused for a reason.
#[track_caller]
fn refused(mut artifact: Vec<u8>, expected: &str) {
    fix_checksum(&mut artifact);
    match Model::from_bytes(&artifact) {
        Err(LoadError::Invalid { what, .. }) => assert!(what.contains(expected), "{what}, not {expected}"),
        other => panic!("{other:?}, not {expected}"),
    }
}

/// Only VNNI starts from the sums, so a wrong one would be seen by one CPU and not by another.
#[test]
fn sums_of_weights_are_those_of_the_weights() {
    let built = small();
    let params = section(&built.bytes, SectionId::Params).start;
    let sums = std::mem::offset_of!(Block, weight_sum);
    assert_eq!(sums + 64, std::mem::offset_of!(Block, residual));
    let of_linear = std::mem::offset_of!(LinearBlock, weight_sum);
    for (index, layer) in built.layers.iter().enumerate() {
        let sums = match layer.kind {
            StepKind::Conv => sums,
            StepKind::Linear => of_linear,
            _ => continue,
        };
        for lane in [0, 15] {
            for packing in [Packing::K4, Packing::K8] {
                let mut artifact = built.bytes.clone();
                repack(&mut artifact, packing).unwrap();
                let at = params + steps(&mut artifact)[index].params_offset.get() as usize + sums + 4 * lane;
                artifact[at] ^= 1;
                refused(artifact, "sum of weights");
            }
        }
    }
}

/// A change that leaves the sum as it is: only padding can tell. What padding meets is another channel, or no tensor.
#[test]
fn padding_of_weights_is_zero() {
    let Built { bytes, .. } = small();
    let weights = section(&bytes, SectionId::Weights).start;
    let mut artifact = bytes.clone();
    let mut changed = [0; 2];
    for index in 0..steps(&mut artifact).len() {
        let step = Model::from_bytes(&bytes).unwrap().steps().nth(index).expect("a step");
        let (shape, first) = match step.op {
            resnext::program::Op::Conv(conv) => {
                (conv.shape, steps(&mut artifact)[index].weights_offset.get())
            }
            resnext::program::Op::Linear(linear) => {
                (linear.shape, steps(&mut artifact)[index].weights_offset.get())
            }
            _ => continue,
        };
        let last = shape.blocks() - 1;
        let block = weights + first as usize + last * shape.block_len();
        // A lane without a channel.
        if shape.channel(last, 15).is_none() {
            for unit in [0, shape.block_len() / UNIT - 1] {
                let mut artifact = bytes.clone();
                let at = block + unit * UNIT + 15 * 4;
                artifact[at..at + 2].copy_from_slice(&[1, 0xff]);
                refused(artifact, "padding of weights");
                changed[0] += 1;
            }
        }
        // The rest of a segment's last four channels.
        if !shape.segment_len().is_multiple_of(4) {
            for segment in 0..shape.segments() {
                let mut artifact = bytes.clone();
                let unit = (segment + 1) * shape.k_groups() - 1;
                let at = block + unit * UNIT;
                // One weight of the first lane moves into the padding beside it.
                let value = artifact[at];
                (artifact[at], artifact[at + 3]) = (0, value.max(1));
                if value == 0 {
                    artifact[at] = 0xff;
                }
                refused(artifact, "padding of weights");
                changed[1] += 1;
            }
        }
    }
    assert!(changed[0] > 1 && changed[1] > 1, "{changed:?}");
}

/// Repacking changes where padding lies, and not what it is.
#[test]
fn padding_is_found_in_both_packings() {
    // 14 channels are four groups of four, so they interleave, and the last has two bytes of padding.
    let shape = resnext::internals::weights::ConvShape {
        in_channels: 14,
        out_channels: 16,
        kernel: 1,
        groups: 1,
        shortcut_channels: 0,
    };
    assert!(shape.interleaves());
    let mut b = resnext_testing::builder::Builder::new(3);
    let image = b.tensor(4, 4, 3, 1);
    b.tensor_mut(image).zero_point = i8::MIN;
    let pointwise = Window { kernel: 1, stride: 1, padding: 0, groups: 1 };
    let none = resnext::internals::format::NO_TENSOR;
    let narrow = b.tensor(4, 4, 14, 0);
    b.conv("conv1", Window { kernel: 3, padding: 1, ..pointwise }, image, narrow, none);
    let wide = b.tensor(4, 4, 16, 0);
    b.conv("conv2", pointwise, narrow, wide, none);
    let mean = b.tensor(1, 2, 16, 0);
    b.global_avg_pool("mean", wide, mean);
    b.linear("fc", mean, 3);
    let Built { mut bytes, .. } = b.finish();
    repack(&mut bytes, Packing::K8).unwrap();
    let weights =
        section(&bytes, SectionId::Weights).start + steps(&mut bytes)[1].weights_offset.get() as usize;
    // Lane 5 of the second pair of groups: eight bytes, of which the last two are padding.
    let lane = weights + 2 * UNIT + 5 * 8;
    assert_eq!(bytes[lane + 6..lane + 8], [0, 0]);
    bytes[lane + 6..lane + 8].copy_from_slice(&[1, 0xff]);
    refused(bytes, "padding of weights");
}

/// Each step in turn reads a tensor of the same shape that nothing has written yet.
#[test]
fn steps_read_what_was_written() {
    let built = small();
    let mut found = 0;
    for index in 0..built.layers.len() {
        let read = built.layers[index].input;
        let mut artifact = built.bytes.clone();
        let arena_len = header(&mut artifact).arena_len.get();
        // The tensor lies where no other does.
        let record = &mut tensors(&mut artifact)[usize::from(read)];
        record.arena_offset.set(arena_len.next_multiple_of(64));
        let extent = (u64::from(record.height) + 2 * u64::from(record.halo))
            * (u64::from(record.width) + 2 * u64::from(record.halo))
            * u64::from(record.channels)
            + TENSOR_SLACK as u64;
        header(&mut artifact).arena_len.set(arena_len.next_multiple_of(64) + extent);
        // It is still written, by its own step. So the step that writes it must write another.
        let Some(writer) = built.layers.iter().position(|layer| layer.output == read) else { continue };
        let other = tensors(&mut artifact).iter().position(|other| {
            other.arena_offset.get() != arena_len.next_multiple_of(64)
                && other.as_bytes()[8..20] == built.tensors[usize::from(read)].as_bytes()[8..20]
        });
        let Some(other) = other else { continue };
        steps(&mut artifact)[writer].output.set(other as u16);
        fix_checksum(&mut artifact);
        if let Err(LoadError::Invalid { what, .. }) = Model::from_bytes(&artifact) {
            found += usize::from(what.contains("reads memory that no step wrote"));
        } else {
            panic!("step {index} reads tensor {read}, which nothing wrote");
        }
    }
    assert!(found > 0);
}

/// A tensor is read after another has been written over a part of it.
#[test]
fn steps_do_not_read_what_was_overwritten() {
    let built = small();
    let model = Model::from_bytes(&built.bytes).unwrap();
    let named = |name| model.steps().position(|step| step.name == name).expect("a step of this name");
    let [writes, reads] = ["layer2.0.conv2", "layer2.0.downsample"].map(named);
    let waits = built.tensors[usize::from(built.layers[reads].input)].arena_offset.get();
    let mut artifact = built.bytes.clone();
    tensors(&mut artifact)[usize::from(built.layers[writes].output)].arena_offset.set(waits + 64);
    refused(artifact, "step reads memory that no step wrote");
}

#[test]
fn the_arena_ends_with_its_farthest_tensor() {
    let built = small();
    for (longer, expected) in
        [(64, "arena does not end with"), (1 << 30, "arena does not end with"), (1 << 40, "absurdly large")]
    {
        let mut artifact = built.bytes.clone();
        let len = header(&mut artifact).arena_len.get();
        header(&mut artifact).arena_len.set(len + longer);
        refused(artifact, expected);
    }
    // The last tensor far away.
    let mut artifact = built.bytes.clone();
    let last = built.tensors.len() - 1;
    let far = 1 << 30;
    let moved = tensors(&mut artifact)[last].arena_offset.get();
    tensors(&mut artifact)[last].arena_offset.set(far);
    let len = header(&mut artifact).arena_len.get();
    header(&mut artifact).arena_len.set(len - moved + far);
    refused(artifact, "mostly gaps");
}

/// More records of the same kind than any network needs. Checking them takes time that grows with their square.
#[test]
fn programs_have_a_largest_length() {
    let Built { bytes, .. } = small();
    for (count, expected) in [(MAX_STEPS + 1, "too many steps"), (MAX_STEPS, "")] {
        let mut artifact = bytes.clone();
        let first = steps(&mut artifact)[0].clone();
        let last = steps(&mut artifact).last().unwrap().clone();
        let mut records = vec![first; count - 1];
        records.push(last);
        artifact.resize(artifact.len().next_multiple_of(64), 0);
        let offset = artifact.len() as u64;
        artifact.extend_from_slice(records.as_bytes());
        let len = artifact.len() as u64;
        let header = header(&mut artifact);
        header.file_len.set(len);
        header.sections[SectionId::Steps as usize].offset.set(offset);
        header.sections[SectionId::Steps as usize].len.set(records.as_bytes().len() as u64);
        fix_checksum(&mut artifact);
        let error = Model::from_bytes(&artifact).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A mean of no pixels has no value, a mean with padding means something else, and a mean of two thirds of a window needs a
/// multiplier that the artifact does not have.
#[test]
fn average_pools_that_are_not_exact_are_refused() {
    let window = resnext_testing::builder::Window { kernel: 2, stride: 2, padding: 0, groups: 1 };
    let built = deep(15, 15, window);
    Model::from_bytes(&built.bytes).unwrap();
    let index = built.layers.iter().position(|layer| layer.kind == StepKind::AvgPool).unwrap();
    let params = section(&built.bytes, SectionId::Params);
    type Change = fn(&mut StepRecord);
    let changes: [(Change, &str); 6] = [
        (|step| step.padding = 1, "padding"),
        (|step| step.stride = 3, "window without pixels"),
        (|step| step.kernel = 3, "does not divide"),
        (|step| step.kernel = 0, "window is empty"),
        (|step| step.kernel = 16, "too large"),
        (|step| step.params_offset.set(u64::MAX), "parameters outside"),
    ];
    for (change, expected) in changes {
        let mut artifact = built.bytes.clone();
        let steps = section(&artifact, SectionId::Steps);
        change(&mut <[StepRecord]>::mut_from_bytes(&mut artifact[steps]).unwrap()[index]);
        fix_checksum(&mut artifact);
        let error = Model::from_bytes(&artifact).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut artifact = built.bytes.clone();
    let steps = section(&artifact, SectionId::Steps);
    let step = &<[StepRecord]>::ref_from_bytes(&artifact[steps]).unwrap()[index];
    let multiplier = params.start + step.params_offset.get() as usize;
    artifact[multiplier + 3] |= 0x80;
    fix_checksum(&mut artifact);
    let error = Model::from_bytes(&artifact).unwrap_err();
    assert!(error.to_string().contains("multiplier out of range"), "{error}");
}
