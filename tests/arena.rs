//! A model needs little memory, and its arena plan overwrites nothing that is still needed.

use resnext::Model;
use resnext_testing::{reference, small};
use std::collections::HashMap;
use std::ops::Range;

/// Arena of the reference artifact in bytes.
///
/// Bounded by the max pool: its input, 82×82×64 with the halo, and its output, 40×40×64, are 532,768 bytes, which
/// the plan needs rounded up to whole lines. A change of up to 3 % is noise of the planner; more is a regression to
/// explain, or progress to pin.
const REFERENCE_ARENA: usize = 532_864;

/// An activation: the steps that it must survive and the memory it lies in.
struct Value {
    /// The step that writes it; 0 for the input.
    from: usize,
    /// The last step that reads it.
    to: usize,
    memory: Range<usize>,
    /// The value that it replaces in place.
    replaces: Option<usize>,
}

/// Returns all activations of a model, in the order in which they are written.
fn values(model: &Model<'_>) -> Vec<Value> {
    let input = model.input();
    let mut values = vec![Value { from: 0, to: 0, memory: input.arena_range(), replaces: None }];
    // What the latest write to an offset was.
    let mut at = HashMap::from([(input.arena_offset, 0)]);
    for (index, step) in model.steps().enumerate() {
        for read in step.reads() {
            let value: &mut Value = &mut values[at[&read.arena_offset]];
            assert_eq!(value.memory, read.arena_range(), "{} reads what was written", step.name);
            value.to = index;
        }
        if let Some(output) = step.output() {
            let in_place = step.reads().find(|read| read.arena_offset == output.arena_offset);
            let replaces = in_place.map(|read| at[&read.arena_offset]);
            at.insert(output.arena_offset, values.len());
            values.push(Value { from: index, to: index, memory: output.arena_range(), replaces });
        }
    }
    values
}

/// Checks that no value is overwritten before its last reader has run.
fn check_plan(model: &Model<'_>, values: &[Value]) {
    for (index, later) in values.iter().enumerate() {
        assert!(later.memory.end <= model.arena_len());
        for (earlier_index, earlier) in values[..index].iter().enumerate() {
            let together = later.from <= earlier.to && later.replaces != Some(earlier_index);
            let apart = later.memory.end <= earlier.memory.start || earlier.memory.end <= later.memory.start;
            assert!(apart || !together, "activations {earlier_index} and {index} share {:?}", later.memory);
        }
    }
}

/// Returns the most bytes that are needed at the same time with any plan, and the step that needs them.
fn peak(model: &Model<'_>, values: &[Value]) -> (usize, usize) {
    let needed = |step: usize| {
        let live = values.iter().enumerate().filter(|(_, v)| (v.from..=v.to).contains(&step));
        let replaced = |index: usize| values.iter().any(|v| v.from == step && v.replaces == Some(index));
        live.filter(|&(index, _)| !replaced(index)).map(|(_, v)| v.memory.len()).sum::<usize>()
    };
    (0..model.step_count()).map(|step| (needed(step), step)).max().unwrap()
}

#[test]
fn plans_keep_what_is_needed() {
    for artifact in [small().bytes, reference()] {
        let model = Model::from_bytes(&artifact).unwrap();
        check_plan(&model, &values(&model));
    }
}

#[test]
fn reference_arena_is_pinned() {
    let artifact = reference();
    let model = Model::from_bytes(&artifact).unwrap();
    let values = values(&model);
    let (peak, step) = peak(&model, &values);
    let arena = model.arena_len();
    println!("arena {arena}, peak {peak} at {}", model.step(step).unwrap().name);
    assert!(arena.abs_diff(REFERENCE_ARENA) * 100 <= 3 * REFERENCE_ARENA, "arena is {arena} bytes");
    // No plan can do with less than the peak.
    assert!((peak..=peak + peak / 20).contains(&arena), "arena is {arena} bytes, needed at once {peak}");
}
