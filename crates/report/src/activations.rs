//! The distributions of activations, with the range that int8 covers.

use crate::page::Section;
use crate::plot::{SIDE, Scale, axis, line, plot, rect, steps};
use crate::text::{plural, short};
use crate::{Distribution, Layer, Report};
use maud::{Markup, html};

pub(crate) fn section(report: &Report<'_>) -> Option<Section> {
    let layers: Vec<_> =
        report.layers.iter().filter_map(|layer| Some((layer, layer.distribution.as_ref()?))).collect();
    if layers.is_empty() {
        return None;
    }
    let content = html! {
        p.note {
            "The fp32 values of each layer"
            @if report.layer_images > 0 { " on " (plural(report.layer_images, "image")) }
            ", without exact zeros, on a logarithmic scale. int8 covers the values between the two lines and clips all others."
        }
        div.legend { span { i.int8 {} "fp32 values" } span { i.clip {} "ends of int8's range" } }
        div.grid { @for (layer, distribution) in layers { (figure(layer, distribution)) } }
    };
    Some(Section { id: "activations", title: "Activations", content })
}

fn figure(layer: &Layer, distribution: &Distribution) -> Markup {
    let name = layer.name.as_str();
    let (low, high) = distribution.clip;
    let (least, most) = (distribution.low.min(low), distribution.high.max(high));
    let scale = Scale::new(least, most);
    let at = |value: f64| SIDE * scale.at(value);
    let greatest = distribution.bins.iter().copied().max().unwrap_or(0);
    // A single value has a visible height, so that rare values can be seen.
    let log = |count: u64| if count == 0 { 0.0 } else { (1.0 + count as f64).ln() };
    let heights: Vec<f64> =
        distribution.bins.iter().map(|&count| 0.96 * log(count) / log(greatest.max(1))).collect();
    let picture = html! {
        (rect("outside", [0.0, 0.0, at(low), SIDE], ""))
        (rect("outside", [at(high), 0.0, SIDE - at(high), SIDE], ""))
        (steps("int8", &heights, (at(distribution.low), at(distribution.high))))
        (line("clip", at(low)))
        (line("clip", at(high)))
    };
    let covered = format!("{} to {}", short(low), short(high));
    let label = format!(
        "{name}: values from {} to {}, int8 covers {covered}",
        short(distribution.low),
        short(distribution.high)
    );
    let method = layer.method.as_ref().map_or_else(String::new, |method| format!("{method}: "));
    let mut labels = vec![(0.0, short(least)), (1.0, short(most))];
    let zero = scale.at(0.0);
    if (0.15..0.85).contains(&zero) && least < 0.0 {
        labels.insert(1, (zero, "0".to_owned()));
    }
    html! {
        figure {
            figcaption { h3 { (name) } (method) (covered) ", " (clips(distribution.clipped)) }
            (plot("small", &label, &picture))
            (axis(&labels))
        }
    }
}

/// Formats the share of clipped values.
fn clips(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        0.0 => "clips nothing".to_owned(),
        ..0.001 => "clips < 0.001 %".to_owned(),
        ..0.1 => format!("clips {percent:.3} %"),
        _ => format!("clips {percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_well() {
        let texts = [0.0, 1e-7, 0.000_234, 0.05].map(clips);
        assert_eq!(texts, ["clips nothing", "clips < 0.001 %", "clips 0.023 %", "clips 5.0 %"]);
    }
}
