//! Draws labels, probabilities and the state of the pipeline over a picture of any size.
//!
//! A status bar at the top shows the name of the model and its speed. A card at the bottom left has a line and a bar for each
//! class, the most probable first. Both scale with the screen: text has a nineteenth of its height. Rows that would cover more
//! than half of the screen are left out.

use super::font::{Face, text};
use crate::reading::{Prediction, Reading};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::{String, Vec};

/// How the ground under the text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The overlay paints it in one colour. This is for targets that cannot be read.
    Opaque,
    /// The caller has darkened the picture in the areas of [`panels()`], as [`Canvas`](super::Canvas) does.
    Shaded,
}

/// Colour of the ground.
pub(super) const PANEL: Rgb888 = Rgb888::new(13, 17, 23);
const TEXT: Rgb888 = Rgb888::new(240, 243, 246);
const MUTED: Rgb888 = Rgb888::new(178, 186, 196);
const WARNING: Rgb888 = Rgb888::new(255, 186, 73);
const TRACK: Rgb888 = Rgb888::new(64, 74, 88);
const FIRST: Rgb888 = Rgb888::new(63, 200, 160);
const OTHER: Rgb888 = Rgb888::new(112, 152, 214);

/// The most classes that are drawn.
pub(super) const ROWS: usize = 5;

/// The temperature at which boards begin to slow down, in degrees Celsius. The first limit of a Raspberry Pi is 80.
const HOT: f32 = 80.0;

/// The separator in the status bar.
const SEPARATOR: &str = " · ";

/// Draws `reading` over all of `target`, without allocating.
///
/// # Errors
///
/// Returns the errors of `target`.
pub fn overlay<D>(target: &mut D, reading: &Reading<'_>, ground: Ground) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: PixelColor + From<Rgb888>,
{
    let area = target.bounding_box();
    let mut clipped = target.clipped(&area);
    let mut target = clipped.color_converted::<Rgb888>();
    let arrangement = Arrangement::new(area, reading);
    if ground == Ground::Opaque {
        for panel in arrangement.panels() {
            target.fill_solid(&panel, PANEL)?;
        }
    }
    arrangement.draw_status(&mut target, reading)?;
    arrangement.draw_classes(&mut target, reading)
}

/// Returns the areas that [`overlay()`] covers with text on a target of this `area`; see [`Ground::Shaded`].
pub fn panels(area: Rectangle, reading: &Reading<'_>) -> Vec<Rectangle, 2> {
    Arrangement::new(area, reading).panels()
}

/// The position of the model's name in the status bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Beside,
    Above,
    Hidden,
}

/// The arrangement of the overlay.
struct Arrangement {
    label: Face,
    status: Face,
    /// Distance between the edge of a panel and its text.
    padding: u32,
    bar: Rectangle,
    model: Model,
    card: Rectangle,
    rows: usize,
}

impl Arrangement {
    fn new(area: Rectangle, reading: &Reading<'_>) -> Self {
        let Size { width, height } = area.size;
        let label = Face::at_most(width.min(height) / 19);
        // On large screens the status may be smaller than the labels.
        let status = if label.em > 16 { label.smaller() } else { label };
        let padding = label.em / 2;

        let pitch = row_pitch(label);
        let most = ((height / 2).saturating_sub(2 * padding) / pitch).max(1);
        let rows = reading.top.len().min(ROWS).min(most as usize);
        let card_height = match rows {
            0 => 0,
            _ => (rows as u32 * pitch - row_gap(label) + 2 * padding).min(height),
        };
        // A card that would leave very little of the picture beside it takes the whole width.
        let margin = label.em;
        let card_width = 20 * label.em;
        let (card_width, margin) = match width >= card_width + 2 * margin + width / 5 {
            true => (card_width, margin),
            false => (width, 0),
        };
        let card = Rectangle::new(
            area.top_left
                + Point::new(margin as i32, (height - card_height).saturating_sub(margin).cast_signed()),
            Size::new(card_width, card_height),
        );

        let facts = Facts::new(reading);
        let together = status.width(reading.model) + 2 * status.em + facts.width(status);
        let wanted = match reading.model {
            "" => Model::Hidden,
            _ if together + 2 * padding > width => Model::Above,
            _ => Model::Beside,
        };
        // If space is short, the name of the model is hidden first, and then the status.
        let height_with = |model| (if model == Model::Above { 2 } else { 1 }) * status.line() + padding;
        let fits = |model: &Model| height_with(*model) + card_height <= height;
        let model = [wanted, Model::Hidden].into_iter().find(fits);
        let bar = Rectangle::new(area.top_left, Size::new(width, model.map_or(0, height_with)));
        Self { label, status, padding, bar, model: model.unwrap_or(Model::Hidden), card, rows }
    }

    fn panels(&self) -> Vec<Rectangle, 2> {
        [self.bar, self.card].into_iter().filter(|panel| !panel.is_zero_sized()).collect()
    }

    fn draw_status<D>(&self, target: &mut D, reading: &Reading<'_>) -> Result<(), D::Error>
    where
        D: DrawTarget<Color = Rgb888>,
    {
        if self.bar.is_zero_sized() {
            return Ok(());
        }
        let width = self.bar.size.width.saturating_sub(2 * self.padding);
        let left = self.bar.top_left + Point::new(self.padding as i32, self.padding as i32 / 2);
        if self.model != Model::Hidden {
            let model = self.status.fit::<64>(reading.model, width);
            self.status.draw(target, &model, left, MUTED, PANEL)?;
        }
        let facts = Facts::new(reading);
        let mut at = match self.model {
            Model::Above => left + Point::new(0, self.status.line() as i32),
            Model::Beside => left + Point::new((width - facts.width(self.status)) as i32, 0),
            Model::Hidden => left,
        };
        let mut room = width;
        for (i, (fact, color)) in facts.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { SEPARATOR };
            let widths = [separator, fact].map(|text| self.status.width(text));
            // A fact that does not fit is left out. Half a number would be a wrong number.
            let Some(left) = room.checked_sub(widths[0] + widths[1]) else { break };
            room = left;
            self.status.draw(target, separator, at, MUTED, PANEL)?;
            at.x += widths[0] as i32;
            self.status.draw(target, fact, at, *color, PANEL)?;
            at.x += widths[1] as i32;
        }
        Ok(())
    }

    fn draw_classes<D>(&self, target: &mut D, reading: &Reading<'_>) -> Result<(), D::Error>
    where
        D: DrawTarget<Color = Rgb888>,
    {
        let width = self.card.size.width.saturating_sub(2 * self.padding);
        let mut at = self.card.top_left + Point::new_equal(self.padding as i32);
        for (i, prediction) in reading.top.iter().take(self.rows).enumerate() {
            self.draw_class(target, prediction, i == 0, at, width)?;
            at.y += row_pitch(self.label) as i32;
        }
        Ok(())
    }

    fn draw_class<D>(
        &self,
        target: &mut D,
        prediction: &Prediction<'_>,
        first: bool,
        at: Point,
        width: u32,
    ) -> Result<(), D::Error>
    where
        D: DrawTarget<Color = Rgb888>,
    {
        let face = self.label;
        let probability = fraction(prediction.probability);
        let (ink, color) = if first { (TEXT, FIRST) } else { (MUTED, OTHER) };
        let percent = text::<8>(format_args!("{:.0} %", 100.0 * probability));
        let percent_width = face.width(&percent);
        let label_width = width.saturating_sub(percent_width + face.em);
        let label = match prediction.label.trim().is_empty() {
            true => face.fit::<64>(&text::<20>(format_args!("class {}", prediction.class)), label_width),
            false => face.fit::<64>(prediction.label, label_width),
        };
        face.draw(target, &label, at, ink, PANEL)?;
        if percent_width <= width {
            let right = at + Point::new((width - percent_width) as i32, 0);
            face.draw(target, &percent, right, ink, PANEL)?;
        }
        let track = Rectangle::new(
            at + Point::new(0, (face.line() + bar_gap(face)) as i32),
            Size::new(width, bar_height(face)),
        );
        target.fill_solid(&track, TRACK)?;
        let filled = (probability * width as f32).round() as u32;
        target.fill_solid(&Rectangle::new(track.top_left, Size::new(filled, track.size.height)), color)
    }
}

/// Distance between a line of text and its bar.
const fn bar_gap(face: Face) -> u32 {
    face.em / 12
}

const fn bar_height(face: Face) -> u32 {
    face.em / 4
}

const fn row_gap(face: Face) -> u32 {
    face.em * 2 / 5
}

/// Distance from one class to the next.
const fn row_pitch(face: Face) -> u32 {
    face.line() + bar_gap(face) + bar_height(face) + row_gap(face)
}

/// The facts in the status bar and their colours, most important first.
struct Facts(Vec<(String<24>, Rgb888), 5>);

impl Facts {
    fn new(reading: &Reading<'_>) -> Self {
        let mut facts = Vec::new();
        let latency = number(reading.latency_ms);
        let digits = usize::from(latency < 100.0);
        let _ = facts.push((text(format_args!("{latency:.digits$} ms")), TEXT));
        let fps = number(reading.fps);
        let digits = usize::from(fps < 10.0);
        let _ = facts.push((text(format_args!("{fps:.digits$} fps")), TEXT));
        if let Some(temperature) = reading.health.temperature_c.filter(|t| t.is_finite()) {
            let color = if temperature >= HOT { WARNING } else { TEXT };
            let temperature = temperature.clamp(-99.0, 999.0);
            let _ = facts.push((text(format_args!("{temperature:.0} °C")), color));
        }
        if let Some(why) = reading.health.slowed {
            let _ = facts.push((text(format_args!("{why}")), WARNING));
        }
        let _ = facts.push((text(format_args!("{} dropped", reading.dropped)), MUTED));
        Self(facts)
    }

    fn width(&self, face: Face) -> u32 {
        let separators = self.0.len().saturating_sub(1) as u32 * face.width(SEPARATOR);
        separators + self.0.iter().map(|(fact, _)| face.width(fact)).sum::<u32>()
    }
}

/// Returns a finite number of limited length.
fn number(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 99_999.0) }
}

/// Returns a number in 0..=1.
fn fraction(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}
