//! A sheet to draw on, in CSS pixels, on the SVG backend of `plotters`.
//!
//! The backend rounds to whole units, so everything is drawn eight times as large and shown through the view box.
use super::simplify::simplified;
use crate::report::{ReportError, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawing units of one CSS pixel.
const SCALE: f64 = 8.0;
/// Units by which a line may be off: a quarter of a pixel.
const TOLERANCE: f64 = 2.0;
/// The backend divides font sizes by this.
const FONT_FACTOR: f64 = 1.24;
/// Size of ordinary text in CSS pixels.
pub const TEXT: f64 = 12.5;
/// Size of tick labels and notes.
pub const SMALL: f64 = 12.0;

/// What a figure is drawn for: a page, or a column of a paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sheet {
    /// Of every figure, in CSS pixels.
    pub width: f64,
}

impl Sheet {
    /// A page, or both columns of a paper: 900 pixels on 7 inches make text of 7 points.
    pub const WIDE: Sheet = Sheet { width: 900.0 };
    /// One column of a paper: 430 pixels on 3.35 inches make text of 7 points.
    pub const NARROW: Sheet = Sheet { width: 430.0 };

    /// Labels go above what they name, and panels below each other.
    pub fn is_narrow(self) -> bool {
        self.width < 600.0
    }
}

pub const INK: RGBColor = RGBColor(40, 40, 40);
pub const GREY: RGBColor = RGBColor(110, 110, 110);
pub const LIGHT: RGBColor = RGBColor(225, 225, 225);
/// Dots that are there for comparison.
pub const FAINT: RGBColor = RGBColor(200, 200, 200);
/// Behind every other row.
pub const SHADE: RGBColor = RGBColor(246, 246, 246);

/// Okabe and Ito's palette with brown in the place of yellow, which is not seen on white. `html/style.css` has other shades of
/// them on a dark page.
pub const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(122, 59, 0),
];

/// Colours that are told apart.
pub const NUM_COLOURS: usize = PALETTE.len();

/// Colour number `index`; after [`NUM_COLOURS`] they repeat.
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
    width: f64,
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws `name`, as wide as `sheet` and `height` CSS pixels high, and returns the SVG.
pub fn figure(
    sheet: Sheet,
    name: &str,
    height: f64,
    draw: impl FnOnce(&Canvas) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    let (width, height) = (sheet.width, height.ceil());
    let size = ((width * SCALE) as u32, (height * SCALE) as u32);
    {
        let canvas =
            Canvas { name, width, area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        canvas.check(canvas.area.fill(&WHITE))?;
        draw(&canvas)?;
        canvas.check(canvas.area.present())?;
    }
    let large = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    // The first mention is the svg element's own size; the view box keeps the drawing units.
    Ok(svg.replacen(&large, &format!("width=\"{width}\" height=\"{height}\""), 1))
}

fn unit((x, y): Point) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

impl Canvas<'_> {
    /// In CSS pixels.
    pub fn width(&self) -> f64 {
        self.width
    }

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
        self.check(self.area.draw(&PathElement::new(simplified(&points, TOLERANCE), style)))
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
        self.speck(at, radius, colour, 1.0)
    }

    /// A dot through which others are seen, `opacity` 0 to 1.
    pub fn speck(&self, at: Point, radius: f64, colour: RGBColor, opacity: f64) -> Result<()> {
        let style = ShapeStyle { color: colour.mix(opacity), filled: true, stroke_width: 0 };
        self.check(self.area.draw(&Circle::new(unit(at), (radius * SCALE) as i32, style)))
    }

    /// A filled shape through `points`, `opacity` 0 to 1.
    pub fn area(&self, points: &[Point], colour: RGBColor, opacity: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|p| unit(*p)).collect();
        self.check(self.area.draw(&Polygon::new(points, colour.mix(opacity))))
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
        if text.is_empty() {
            return Ok(());
        }
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
