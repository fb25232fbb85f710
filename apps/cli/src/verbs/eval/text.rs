//! The result for people.

use super::Args;
use crate::machine::conditions;
use crate::session::latency;
use crate::terminal::Error;
use crate::terminal::output::{self, terminal_width};
use crate::terminal::table::{Column, Fields, Table};
use crate::terminal::text::{clean, plural};
use resnext::Model;
use resnext_evaluation::statistics::{Interval, Proportion};
use resnext_evaluation::summary::{ClassSummary, Comparison, Confusion, Evaluation, FlipKind};
use resnext_report::{Conditions, Latency, p_value};

/// The number of flips that are named.
const NAMED: usize = 5;

/// The number of classes whose drop is shown.
const CLASSES: usize = 3;

/// Prints the result.
pub(super) fn print(
    model: &Model<'_>,
    evaluation: &Evaluation,
    (latency, conditions): (&[Latency], Option<&Conditions>),
    args: &Args,
) -> Result<(), Error> {
    let columns = [
        Column::text(""),
        Column::number("top-1 %"),
        Column::number("95 %").optional(2),
        Column::number("top-5 %"),
        Column::number("95 %").optional(1),
    ];
    let mut table = Table::new(columns, terminal_width());
    let mut row = |name: &str, top1: &Proportion, top5: &Proportion| {
        let cells = |p: &Proportion| {
            let Interval { low, high } = p.interval();
            [format!("{:.2}", 100.0 * p.share()), format!("{:.2}–{:.2}", 100.0 * low, 100.0 * high)]
        };
        let ([a, b], [c, d]) = (cells(top1), cells(top5));
        table.row([name.to_owned(), a, b, c, d]);
    };
    if let Some(Comparison { fp32, .. }) = &evaluation.comparison {
        row("fp32", &fp32.top1, &fp32.top5);
    }
    row("int8", &evaluation.int8.top1, &evaluation.int8.top5);
    if let Some(comparison) = &evaluation.comparison {
        let cells = |(drop, Interval { low, high }): (f64, Interval)| {
            [format!("{drop:+.2}"), format!("{low:+.2} to {high:+.2}")]
        };
        let ([a, b], [c, d]) = (cells(comparison.drop_top1_pp()), cells(comparison.drop_top5_pp()));
        table.row(["drop (points)".to_owned(), a, b, c, d]);
    }
    let mut fields = Fields::default();
    fields.add("images", evaluation.images.to_string());
    if let Some(comparison) = &evaluation.comparison {
        compared(model, evaluation, comparison, &mut fields);
    }
    confused(model, evaluation, &mut fields);
    if let Some(latency) = latency::text(latency) {
        fields.add("latency", latency);
    }
    if let Some(conditions) = conditions {
        conditions::add_to(&mut fields, conditions);
    }
    if let Some(path) = &args.record {
        fields.add("recorded", path.display().to_string());
    }
    if let Some(path) = &args.html {
        fields.add("report", path.display().to_string());
    }
    output::print(&format_args!("{table}\n{fields}"))
}

/// Adds the most frequent confusions.
fn confused(model: &Model<'_>, evaluation: &Evaluation, fields: &mut Fields) {
    let label = |class: usize| match model.class(class) {
        Some(names) if !names.label.is_empty() => names.label.to_owned(),
        Some(names) if !names.id.is_empty() => names.id.to_owned(),
        _ => format!("class {class}"),
    };
    let cell =
        |cell: &&Confusion| format!("{} for {} ({})", label(cell.truth), label(cell.answer), cell.int8);
    let named: Vec<String> = evaluation.most_confused().iter().take(CLASSES).map(cell).collect();
    if !named.is_empty() {
        fields.add("confusions", clean(&format!("int8 takes most often {}", named.join(", "))));
    }
}

fn compared(model: &Model<'_>, evaluation: &Evaluation, comparison: &Comparison, fields: &mut Fields) {
    let agreement = &comparison.agreement;
    fields.add("agreement", format!("same class on {:.2} % of the images", 100.0 * agreement.share()));
    let top1 = &comparison.top1;
    fields.add(
        "flips",
        format!(
            "{} right answer{} lost, {} gained (McNemar {}), {} more with two different wrong answers",
            top1.lost,
            plural(top1.lost),
            top1.gained,
            p_value(top1.mcnemar_p()),
            comparison.count(FlipKind::BothWrong)
        ),
    );
    for kind in FlipKind::ALL {
        let what = kind.as_str();
        let names: Vec<&str> = comparison.names(kind).collect();
        if names.is_empty() {
            continue;
        }
        let shown = names[..names.len().min(NAMED)].join(", ");
        let more = if names.len() > NAMED {
            format!(", {} more (--json)", names.len() - NAMED)
        } else {
            String::new()
        };
        fields.add("", format!("{what} {}{more}", clean(&shown)));
    }
    let mut classes: Vec<_> =
        evaluation.classes.iter().filter(|class| class.lost + class.gained > 0).collect();
    classes.sort_by(|a, b| b.drop().abs().total_cmp(&a.drop().abs()));
    if evaluation.classes.len() > 1 && !classes.is_empty() {
        let class = |class: &&ClassSummary| {
            let label = model.class(class.class).map_or("", |class| class.label);
            let images = class.int8.of;
            format!("{label} {:+.2} points of {images} image{}", 100.0 * class.drop(), plural(images))
        };
        fields.add(
            "classes",
            "drop by class: ".to_owned()
                + &classes.iter().take(CLASSES).map(class).collect::<Vec<_>>().join(", "),
        );
    }
    fields.add(
        "divergence",
        format!("KL(fp32‖int8) {:.5} nats on average, {:.4} at most", comparison.kl_mean, comparison.kl_max),
    );
    fields.add("logits", format!("{:.1} dB signal-to-quantization-noise ratio", comparison.logit_sqnr_db));
}
