//! Where and when each tensor lives in the arena, derived from the steps of the model.

use crate::Report;
use crate::page::Section;
use crate::plot::{SIDE, axis, plot, rect};
use crate::text::{plural, size};
use maud::{Markup, html};
use resnext::Model;
use resnext::program::Tensor;

/// The time and place of a tensor in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// The step that writes it, or `input`.
    pub(crate) name: String,
    /// Its first byte.
    pub(crate) start: usize,
    /// Its length in bytes, including halo and slack.
    pub(crate) len: usize,
    /// The steps during which it is live.
    pub(crate) steps: std::ops::Range<usize>,
}

/// Returns the lives of all tensors, in the order in which they are written.
pub(crate) fn lives(model: &Model<'_>) -> Vec<Life> {
    let life = |name: &str, tensor: &Tensor, step: usize| {
        let range = tensor.arena_range();
        Life { name: name.to_owned(), start: range.start, len: range.len(), steps: step..step + 1 }
    };
    let mut lives = vec![life("input", &model.input(), 0)];
    // A step reads the tensor that was written last at an offset.
    let read = |lives: &mut Vec<Life>, tensor: &Tensor, until: usize| {
        let found = lives.iter_mut().rev().find(|life| life.start == tensor.arena_offset);
        if let Some(life) = found {
            life.steps.end = life.steps.end.max(until);
        }
    };
    for (index, step) in model.steps().enumerate() {
        let output = step.output();
        for tensor in step.reads() {
            // A residual that shares the memory of the output ends where the output begins.
            let in_place = output.is_some_and(|output| output.arena_offset == tensor.arena_offset);
            read(&mut lives, &tensor, if in_place { index } else { index + 1 });
        }
        if let Some(output) = &output {
            lives.push(life(step.name, output, index));
        }
    }
    lives
}

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let lives = lives(report.model);
    let (arena, count) = (report.model.arena_len().max(1) as f64, report.model.step_count());
    if lives.is_empty() || count == 0 {
        return None;
    }
    let sum: usize = lives.iter().map(|life| life.len).sum();
    let picture = html! { @for life in &lives { (tensor(life, arena, count)) } };
    let names: Vec<String> = report.model.steps().map(|step| step.name.to_owned()).collect();
    let stages = stages(&names);
    let labels: Vec<(f64, String)> = stages
        .iter()
        .map(|(first, last, stage)| {
            (f64::midpoint(*first as f64, *last as f64 + 1.0) / count as f64, stage.clone())
        })
        .collect();
    let content = html! {
        p.note {
            "An inference uses " (size(report.model.arena_len())) " of memory in all, for " (plural(lives.len(), "tensor"))
            " that would take " (size(sum)) " without sharing. The plot shows the " (plural(count, "step"))
            " from left to right and the addresses from bottom to top. Point at a tensor to see its name and place."
        }
        (plot("arena", "Timeline of the arena; the list below has the numbers", &picture))
        (axis(&labels))
        details {
            summary { "Tensors" }
            div.scroll { table {
                thead { tr { th { "written by" } th { "offset" } th { "size" } th { "steps" } } }
                tbody { @for life in &lives { tr {
                    td { (life.name) } td { (life.start) } td { (size(life.len)) }
                    td { (life.steps.start) "–" (life.steps.end - 1) }
                } } }
            } }
        }
    };
    Some(Section { id: "arena", title: "Arena", content })
}

fn tensor(life: &Life, arena: f64, count: usize) -> Markup {
    let width = SIDE / count as f64;
    let (x, steps) = (life.steps.start as f64 * width, life.steps.len() as f64 * width);
    let height = SIDE * life.len as f64 / arena;
    let y = SIDE * (1.0 - (life.start + life.len) as f64 / arena);
    let title = format!(
        "{}: {} at {}, steps {} to {}",
        life.name,
        size(life.len),
        life.start,
        life.steps.start,
        life.steps.end - 1
    );
    rect(&format!("life {}", colour(&life.name)), [x, y, steps, height], &title)
}

/// Returns the class in the style sheet for the stage of a step.
fn colour(name: &str) -> &'static str {
    match stage(name) {
        "1" => "s1",
        "2" => "s2",
        "3" => "s3",
        "4" => "s4",
        "head" => "other",
        _ => "stem",
    }
}

/// Returns the stage in the name of a step.
fn stage(name: &str) -> &str {
    match name.strip_prefix("layer").and_then(|rest| rest.split('.').next()) {
        Some(stage) => stage,
        None if name.contains("fc") || name.contains("avgpool") || name == "mean" => "head",
        None => "stem",
    }
}

/// Returns the first and last step of each stage that is long enough for a label.
fn stages(names: &[String]) -> Vec<(usize, usize, String)> {
    let mut stages: Vec<(usize, usize, String)> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let stage = stage(name);
        match stages.last_mut() {
            Some((_, last, known)) if known == stage => *last = index,
            _ => stages.push((index, index, stage.to_owned())),
        }
    }
    stages.retain(|(first, last, _)| last - first + 1 >= 3);
    stages.iter_mut().for_each(|(_, _, stage)| {
        if stage.len() == 1 {
            *stage = format!("stage {stage}");
        }
    });
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_models::reference;

    fn model() -> Model<'static> {
        Model::from_bytes(reference::ARTIFACT).expect("bundled")
    }

    #[test]
    fn no_two_tensors_are_at_one_place_at_one_time() {
        let lives = lives(&model());
        assert_eq!(
            lives.len(),
            model().step_count(),
            "the input, and an output of each step but the classifier"
        );
        let overlap = |a: (usize, usize), b: (usize, usize)| a.0 < b.1 && b.0 < a.1;
        for (i, a) in lives.iter().enumerate() {
            assert!(a.steps.start < a.steps.end, "{a:?}");
            assert!(a.start + a.len <= model().arena_len(), "{a:?}");
            for b in &lives[i + 1..] {
                let space = overlap((a.start, a.start + a.len), (b.start, b.start + b.len));
                let time = overlap((a.steps.start, a.steps.end), (b.steps.start, b.steps.end));
                assert!(!(space && time), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_arena_is_as_long_as_its_tensors_reach() {
        let reach = lives(&model()).iter().map(|life| life.start + life.len).max().expect("tensors");
        assert_eq!(reach.next_multiple_of(resnext::internals::format::ARENA_ALIGN), model().arena_len());
    }

    #[test]
    fn stages_are_labelled() {
        let names = ["conv1", "maxpool", "layer1.0.a", "layer1.0.b", "layer1.0.c", "fc"].map(str::to_owned);
        assert_eq!(stages(&names), [(2, 4, "stage 1".to_owned())]);
        assert_eq!(
            ["conv1", "layer3.0.conv2", "fc", "layer9.x"].map(colour),
            ["stem", "s3", "other", "stem"]
        );
    }
}
