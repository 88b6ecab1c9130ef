//! A sheet to draw on, in CSS pixels, on the SVG backend of `plotters`.
//!
//! The backend rounds to whole units, so everything is drawn eight times as large and shown through the view box.
use crate::report::{ReportError, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawing units of one CSS pixel.
const SCALE: f64 = 8.0;
/// The backend divides font sizes by this.
const FONT_FACTOR: f64 = 1.24;
/// Width of every figure in CSS pixels.
pub const WIDTH: f64 = 900.0;

pub const INK: RGBColor = RGBColor(40, 40, 40);
pub const GREY: RGBColor = RGBColor(110, 110, 110);
pub const LIGHT: RGBColor = RGBColor(225, 225, 225);

/// Okabe and Ito's palette, yellow darkened to be seen on white; told apart with any colour vision.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(150, 130, 0),
];

/// Colour number `index`; after eight they repeat.
pub fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Left,
    Centre,
    Right,
}

pub type Point = (f64, f64);

/// One figure in the making.
pub struct Canvas<'a> {
    name: &'a str,
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws `name`, `WIDTH × height` CSS pixels, and returns the SVG.
pub fn figure(name: &str, height: f64, draw: impl FnOnce(&Canvas) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let size = ((WIDTH * SCALE) as u32, (height * SCALE) as u32);
    {
        let canvas = Canvas { name, area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.check(canvas.area.fill(&WHITE))?;
        draw(&canvas)?;
        canvas.check(canvas.area.present())?;
    }
    let large = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    // The first mention is the svg element's own size; the view box keeps the drawing units.
    Ok(svg.replacen(&large, &format!("width=\"{WIDTH}\" height=\"{height}\""), 1))
}

fn unit((x, y): Point) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

impl Canvas<'_> {
    fn check<T, E: std::fmt::Display>(&self, outcome: std::result::Result<T, E>) -> Result<T> {
        outcome.map_err(|e| ReportError::Figure { figure: self.name.into(), message: e.to_string() })
    }

    /// A line through `points`, `width` pixels thick, `opacity` 0 to 1.
    pub fn line(&self, points: &[Point], colour: RGBColor, width: f64, opacity: f64) -> Result<()> {
        let style = ShapeStyle {
            color: colour.mix(opacity),
            filled: false,
            stroke_width: (width * SCALE).round() as u32,
        };
        let points: Vec<(i32, i32)> = points.iter().map(|p| unit(*p)).collect();
        if points.len() < 2 {
            return Ok(());
        }
        self.check(self.area.draw(&PathElement::new(points, style)))
    }

    /// Dashes of `dash` pixels along a straight line.
    pub fn dashed(&self, from: Point, to: Point, colour: RGBColor, width: f64, dash: f64) -> Result<()> {
        let length = ((to.0 - from.0).powi(2) + (to.1 - from.1).powi(2)).sqrt();
        let at = |t: f64| (from.0 + (to.0 - from.0) * t / length, from.1 + (to.1 - from.1) * t / length);
        let mut t = 0.0;
        while t < length {
            self.line(&[at(t), at((t + dash).min(length))], colour, width, 1.0)?;
            t += 2.0 * dash;
        }
        Ok(())
    }

    pub fn dot(&self, at: Point, radius: f64, colour: RGBColor) -> Result<()> {
        let style = ShapeStyle { color: colour.mix(1.0), filled: true, stroke_width: 0 };
        self.check(self.area.draw(&Circle::new(unit(at), (radius * SCALE) as i32, style)))
    }

    /// A filled rectangle.
    pub fn band(&self, from: Point, to: Point, colour: RGBColor) -> Result<()> {
        self.check(self.area.draw(&Rectangle::new([unit(from), unit(to)], colour.filled())))
    }

    /// Text vertically centred on `at`.
    pub fn text(&self, text: &str, at: Point, size: f64, colour: RGBColor, anchor: Anchor) -> Result<()> {
        self.write(text, at, size, colour, anchor, FontTransform::None)
    }

    /// Text that reads upwards, centred on `at`.
    pub fn upward(&self, text: &str, at: Point, size: f64, colour: RGBColor) -> Result<()> {
        self.write(text, at, size, colour, Anchor::Centre, FontTransform::Rotate270)
    }

    fn write(
        &self,
        text: &str,
        at: Point,
        size: f64,
        colour: RGBColor,
        anchor: Anchor,
        transform: FontTransform,
    ) -> Result<()> {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = ("sans-serif", size * SCALE * FONT_FACTOR)
            .into_font()
            .transform(transform)
            .color(&colour)
            .pos(Pos::new(horizontal, VPos::Center));
        self.check(self.area.draw(&Text::new(text.to_string(), unit(at), style)))
    }
}

/// `text` in at most `most` characters, the last of them an ellipsis where it was longer.
pub fn fitted(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A legend in a column, from `at` downwards: a stroke of its colour before each label.
pub fn legend(canvas: &Canvas, at: Point, entries: &[(String, RGBColor)]) -> Result<()> {
    for (i, (label, colour)) in entries.iter().enumerate() {
        let y = at.1 + 20.0 * i as f64;
        canvas.line(&[(at.0, y), (at.0 + 18.0, y)], *colour, 3.0, 1.0)?;
        canvas.text(label, (at.0 + 25.0, y), legend_size(label), INK, Anchor::Left)?;
    }
    Ok(())
}

/// Long arm names are set smaller, so that 36 characters fit the legend's column.
fn legend_size(label: &str) -> f64 {
    if label.chars().count() > 30 { 11.0 } else { 12.5 }
}
