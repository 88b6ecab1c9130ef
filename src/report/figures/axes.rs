//! Scales, ticks and the frame of a plot.
use super::canvas::{Anchor, Canvas, GREY, INK, LIGHT, Point};
use crate::base::units;
use crate::report::Result;

/// From data to pixels along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// A linear scale over `low..high`, laid on pixels `from..to`.
    pub fn linear(low: f64, high: f64, from: f64, to: f64) -> Scale {
        // A single value still needs a width.
        let high = if high > low { high } else { low + if low == 0.0 { 1.0 } else { low.abs() * 0.1 } };
        Scale { low, high, log: false, from, to }
    }

    /// A logarithmic scale over whole decades around `low..high`, both positive.
    pub fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Scale {
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let high = if high > low { high } else { low + 1.0 };
        Scale { low: 10f64.powf(low), high: 10f64.powf(high), log: true, from, to }
    }

    pub fn pixel(&self, value: f64) -> f64 {
        let t = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + t * (self.to - self.from)
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    /// Round values with their labels.
    pub fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        if self.log {
            let (low, high) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            let every = ((high - low) as usize).div_ceil(about).max(1);
            return (low..=high).step_by(every).map(|e| (10f64.powi(e), power_of_ten(e))).collect();
        }
        let step = nice_step((self.high - self.low) / about as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| (i as f64 * step, label(i as f64 * step, step))).collect()
    }
}

fn nice_step(rough: f64) -> f64 {
    let magnitude = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * magnitude >= rough * 0.999).unwrap_or(10.0);
    factor * magnitude
}

fn label(value: f64, step: f64) -> String {
    if value.abs() >= 1000.0 || step >= 1000.0 {
        // Three digits and a prefix; ticks are round, so trailing zeros say nothing.
        let text = units::si(value, "");
        return match text.split_once(' ') {
            Some((number, prefix)) if number.contains('.') => {
                format!("{} {prefix}", number.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        };
    }
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}").replace('-', "−")
}

/// 10⁻⁷ and its like.
fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = exponent
        .to_string()
        .chars()
        .map(|c| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]))
        .collect::<String>();
    format!("10{raised}")
}

/// A plot's frame: both scales and where they lie.
pub struct Frame {
    pub x: Scale,
    pub y: Scale,
}

impl Frame {
    /// Grid, tick labels and axis titles; `left` and `top` are of the plot itself.
    pub fn draw(&self, canvas: &Canvas, x_title: &str, y_title: &str) -> Result<()> {
        let (left, right, bottom, top) = (self.x.from, self.x.to, self.y.from, self.y.to);
        let about_x = ((right - left) / 85.0).max(2.0) as usize;
        for (value, label) in self.y.ticks(((bottom - top) / 45.0).max(2.0) as usize) {
            let y = self.y.pixel(value);
            canvas.line(&[(left, y), (right, y)], LIGHT, 1.0, 1.0)?;
            canvas.text(&label, (left - 7.0, y), 12.0, GREY, Anchor::Right)?;
        }
        for (value, label) in self.x.ticks(about_x) {
            let x = self.x.pixel(value);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], INK, 1.0, 1.0)?;
            canvas.text(&label, (x, bottom + 14.0), 12.0, GREY, Anchor::Centre)?;
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1.0, 1.0)?;
        canvas.text(x_title, (0.5 * (left + right), bottom + 35.0), 13.0, INK, Anchor::Centre)?;
        canvas.upward(y_title, (left - 52.0, 0.5 * (top + bottom)), 13.0, INK)
    }

    pub fn point(&self, (x, y): Point) -> Point {
        (self.x.pixel(x), self.y.pixel(y))
    }

    /// A line through data points; what rises above the frame is cut off at its edge.
    pub fn series(
        &self,
        canvas: &Canvas,
        data: &[Point],
        colour: plotters::style::RGBColor,
        width: f64,
        opacity: f64,
    ) -> Result<()> {
        let limit = self.y.high();
        let mut piece: Vec<Point> = Vec::new();
        for (i, &(x, y)) in data.iter().enumerate() {
            if let Some(&(x0, y0)) = i.checked_sub(1).and_then(|j| data.get(j))
                && (y > limit) != (y0 > limit)
            {
                let crossing = (x0 + (x - x0) * (limit - y0) / (y - y0), limit);
                piece.push(self.point(crossing));
            }
            if y <= limit {
                piece.push(self.point((x, y)));
            } else {
                canvas.line(&piece, colour, width, opacity)?;
                piece.clear();
            }
        }
        canvas.line(&piece, colour, width, opacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |s: Scale| s.ticks(5).into_iter().map(|(_, l)| l).collect::<Vec<_>>();
        assert_eq!(labels(Scale::linear(0.0, 0.5, 0.0, 1.0)), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(
            labels(Scale::linear(0.0, 819_200.0, 0.0, 1.0)),
            ["0", "200 k", "400 k", "600 k", "800 k"]
        );
        assert_eq!(labels(Scale::linear(-4.0, 6.0, 0.0, 1.0)), ["−4", "−2", "0", "2", "4", "6"]);
        assert_eq!(
            labels(Scale::logarithmic(2e-8, 3e-5, 0.0, 1.0)),
            ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"]
        );
    }

    #[test]
    fn a_single_value_has_a_scale() {
        for s in [
            Scale::linear(0.0, 0.0, 0.0, 1.0),
            Scale::linear(7.0, 7.0, 0.0, 1.0),
            Scale::logarithmic(1.0, 1.0, 0.0, 1.0),
        ] {
            assert!(s.pixel(s.low).is_finite() && s.ticks(4).len() > 1, "{s:?}");
        }
    }
}
