//! The images to which the networks give different classes, with the predictions of both.

use crate::Report;
use crate::page::Section;
use crate::plot::along;
use crate::text::{class, plural};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use resnext::Model;
use resnext_evaluation::outcome::Answer;
use resnext_evaluation::summary::{Flip, FlipKind};

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let comparison = report.evaluation?.comparison.as_ref()?;
    let shown: Vec<(&Flip, &[u8])> = report
        .flips
        .iter()
        .filter_map(|photo| Some((comparison.flips.get(photo.flip)?, photo.jpeg.as_slice())))
        .collect();
    let rest = comparison.flips.len() - shown.len();
    let content = html! {
        @if comparison.flips.is_empty() {
            p.note { "There are none: both networks give every image the same class." }
        } @else {
            p.note {
                "Right answers that int8 loses come first, then those that it gains, then photos that both networks have wrong. The \
                 pictures show the pixels that the networks saw. Bars show probabilities, and the right class is bold."
            }
        }
        div.photos { @for (flip, jpeg) in shown { (photo(report.model, flip, jpeg)) } }
        @if rest > 0 {
            details {
                summary { (plural(comparison.flips.len(), "flip")) " by name" }
                ul.names { @for flip in &comparison.flips { li { (badge(flip.kind)) " " (flip.name) } } }
            }
        }
    };
    Some(Section { id: "flips", title: "Photos on which the two differ", content })
}

fn badge(kind: FlipKind) -> Markup {
    let class = match kind {
        FlipKind::Lost => "badge lost",
        FlipKind::Gained => "badge gained",
        FlipKind::BothWrong => "badge",
    };
    html! { span class=(class) { (kind.as_str()) } }
}

fn photo(model: &Model<'_>, flip: &Flip, jpeg: &[u8]) -> Markup {
    let truth = class(model, flip.truth);
    html! {
        article.photo {
            div.head {
                img alt=(truth) width="96" height="96" src={ "data:image/jpeg;base64," (STANDARD.encode(jpeg)) };
                div { (badge(flip.kind)) " " h3 { (truth) } p { (flip.name) } }
            }
            div.answers {
                (answer(model, "fp32", &flip.fp32, flip.truth))
                (answer(model, "int8", &flip.int8, flip.truth))
            }
        }
    }
}

fn answer(model: &Model<'_>, network: &str, answer: &Answer, truth: usize) -> Markup {
    html! {
        div class=(network) {
            h3 { (network) }
            @for prediction in answer.predictions() {
                @let label = class(model, prediction.class);
                div.prediction.right[prediction.class == truth] {
                    i style={ "width:" (along(prediction.probability.into())) } {}
                    span { (label) }
                    (format!("{:.1} %", 100.0 * prediction.probability))
                }
            }
        }
    }
}
