//! Plots as inline SVG without text, in a box of 1000×1000 units that stretches to the available room. Labels are HTML beside
//! the plot, so that they keep their size on any screen. The style sheet sets the colours.

use maud::{Markup, html};

/// The length of each side of a plot in units.
pub(crate) const SIDE: f64 = 1000.0;

/// A linear scale onto `0..1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Creates a scale from `low` to `high`. An empty or invalid range becomes 0 to 1.
    pub(crate) fn new(low: f64, high: f64) -> Self {
        let sound = low.is_finite() && high.is_finite() && high > low;
        if sound { Self { low, high } } else { Self { low: 0.0, high: 1.0 } }
    }

    /// Returns the position of `value` from 0 to 1. Values beyond the scale are at its edge.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let at = (value - self.low) / (self.high - self.low);
        if at.is_nan() { 0.0 } else { at.clamp(0.0, 1.0) }
    }

    /// Returns about `count` round values within the scale.
    pub(crate) fn ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|step| step * magnitude)
            .into_iter()
            .find(|&step| step >= rough * 0.999)
            .unwrap_or(rough);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last.min(first.saturating_add(50))).map(|i| i as f64 * step).collect()
    }
}

/// Formats a number for an attribute: short, never NaN, and never with an exponent.
pub(crate) fn number(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a position as a percentage for a style.
pub(crate) fn along(share: f64) -> String {
    format!("{}%", number(100.0 * share))
}

/// Draws a rectangle in units of the box.
pub(crate) fn rect(class: &str, [x, y, width, height]: [f64; 4], title: &str) -> Markup {
    html! {
        rect class=(class) x=(number(x)) y=(number(y)) width=(number(width)) height=(number(height)) {
            @if !title.is_empty() { title { (title) } }
        }
    }
}

/// Draws a vertical line at `x` units.
pub(crate) fn line(class: &str, x: f64) -> Markup {
    html! { line class=(class) x1=(number(x)) x2=(number(x)) y1="0" y2=(number(SIDE)) {} }
}

/// Draws the outline of a histogram as one filled path. `heights` are from 0 to 1, and the bins lie between `from` and `to`.
pub(crate) fn steps(class: &str, heights: &[f64], (from, to): (f64, f64)) -> Markup {
    let width = (to - from) / heights.len().max(1) as f64;
    let mut path = format!("M{} {}", number(from), number(SIDE));
    for (i, height) in heights.iter().enumerate() {
        let (left, top) = (from + i as f64 * width, SIDE * (1.0 - height.clamp(0.0, 1.0)));
        path += &format!("L{} {}L{} {}", number(left), number(top), number(left + width), number(top));
    }
    path += &format!("L{} {}Z", number(to), number(SIDE));
    html! { path class=(class) d=(path) {} }
}

/// Draws a plot. `label` describes it for readers who cannot see it.
pub(crate) fn plot(class: &str, label: &str, content: &Markup) -> Markup {
    html! {
        svg class=(class) viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label=(label) {
            (content)
        }
    }
}

/// Writes labels below a plot, at positions from 0 to 1.
pub(crate) fn axis(labels: &[(f64, String)]) -> Markup {
    html! {
        div.axis aria-hidden="true" {
            @for (at, label) in labels {
                @let edge = if *at < 0.06 { "first" } else if *at > 0.94 { "last" } else { "" };
                span class=(edge) style={ "left:" (along(*at)) } { (label) }
            }
        }
    }
}

/// Counts `values` in `bins` equal parts of `scale`.
pub(crate) fn bin(values: &[f64], scale: &Scale, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins.max(1)];
    let last = counts.len() - 1;
    for &value in values {
        counts[((scale.at(value) * bins as f64) as usize).min(last)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_stay_in_the_box() {
        let scale = Scale::new(2.0, 4.0);
        assert_eq!([1.0, 2.0, 3.0, 5.0, f64::NAN].map(|x| scale.at(x)), [0.0, 0.0, 0.5, 1.0, 0.0]);
        for broken in [Scale::new(1.0, 1.0), Scale::new(f64::NAN, 1.0), Scale::new(0.0, f64::INFINITY)] {
            assert!((0.0..=1.0).contains(&broken.at(0.3)));
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::new(0.0, 10.0).ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::new(-0.3, 0.3).ticks(3), [-0.2, 0.0, 0.2]);
        assert_eq!(Scale::new(83.1, 86.2).ticks(3), [84.0, 86.0]);
        assert!(Scale::new(0.0, 1e-9).ticks(4).len() < 8);
    }

    #[test]
    fn numbers_are_valid_in_attributes() {
        assert_eq!([0.0, 1.5, 1000.0, 0.126, -3.0].map(number), ["0", "1.5", "1000", "0.13", "-3"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(number), ["0", "0"]);
        assert_eq!(number(1e20), "100000000000000000000");
    }

    #[test]
    fn titles_are_escaped_and_elements_closed() {
        let text = rect("a", [0.0, 1.0, 2.0, 3.0], "</title><script>").into_string();
        assert_eq!(
            text,
            r#"<rect class="a" x="0" y="1" width="2" height="3"><title>&lt;/title&gt;&lt;script&gt;</title></rect>"#
        );
        let text = plot("p", "\"><script>", &line("l", 5.0)).into_string();
        assert!(!text.contains("<script>") && text.ends_with("</line></svg>"), "{text}");
    }

    #[test]
    fn histograms_keep_every_value() {
        let scale = Scale::new(0.0, 1.0);
        assert_eq!(bin(&[0.0, 0.1, 0.5, 1.0, 7.0], &scale, 2), [2, 3]);
        let path = steps("h", &[0.5, 1.0], (0.0, 1000.0)).into_string();
        assert!(path.contains("M0 1000L0 500L500 500L500 0L1000 0L1000 1000Z"), "{path}");
    }
}
