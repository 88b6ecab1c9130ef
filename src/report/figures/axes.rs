//! Scales, ticks and the frame of a plot.
use super::canvas::{Anchor, Canvas, GREY, INK, LIGHT, Point, SMALL};
use super::text::{fitted_apart, width};
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

    /// A logarithmic scale from `low` to `high`, both positive.
    pub fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Scale {
        let high = if high > low { high } else { 2.0 * low };
        Scale { low, high, log: true, from, to }
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
            return self.log_ticks(about);
        }
        let step = nice_step((self.high - self.low) / about as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| (i as f64 * step, label(i as f64 * step, step))).collect()
    }

    /// Powers of ten where there are three of them, else 1, 2 and 5 times powers of ten, and more of those where that is few.
    fn log_ticks(&self, about: usize) -> Vec<(f64, String)> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
        if last - first >= 2 {
            let every = ((last - first) as usize).div_ceil(about).max(1);
            return (first..=last).step_by(every).map(|e| (10f64.powi(e), power_of_ten(e))).collect();
        }
        let within = |value: &f64| (self.low * 0.999..=self.high * 1.001).contains(value);
        let multiples = |factors: &[f64]| -> Vec<(f64, String)> {
            let of = |e: i32| factors.iter().map(move |f| f * 10f64.powi(e));
            (first - 1..=last).flat_map(of).filter(within).map(|v| (v, plain(v))).collect()
        };
        let ticks = multiples(&[1.0, 2.0, 5.0]);
        match ticks.len() {
            // Too short a stretch for powers: round steps, as on a linear scale.
            0 | 1 => Scale { log: false, ..self.clone() }.ticks(about),
            n if n > about + 1 => multiples(&[1.0, 3.0]),
            2 | 3 => {
                let more = multiples(&[1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]);
                if more.len() > about + 2 { ticks } else { more }
            }
            _ => ticks,
        }
    }
}

/// A number with as few digits as it takes.
fn plain(value: f64) -> String {
    if value >= 1000.0 {
        return label(value, 1000.0);
    }
    if value >= 0.01 {
        return format!("{}", (value * 1e12).round() / 1e12);
    }
    let exponent = (value.log10() + 1e-9).floor() as i32;
    let factor = value / 10f64.powi(exponent);
    format!("{}×{}", (factor * 10.0).round() / 10.0, power_of_ten(exponent))
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

/// The values that an axis spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    pub low: f64,
    pub high: f64,
    pub log: bool,
}

impl Domain {
    /// Of all `values`, with a share of `room` of their span at both ends; 0 to 1 where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>, room: f64) -> Domain {
        let ends = values.into_iter().filter(|v| v.is_finite()).fold(None, |ends, v| match ends {
            None => Some((v, v)),
            Some((low, high)) => Some((v.min(low), v.max(high))),
        });
        let (low, high): (f64, f64) = ends.unwrap_or((0.0, 1.0));
        let span = if high > low { high - low } else { (0.1 * high.abs()).max(1e-9) };
        Domain { low: low - room * span, high: high + room * span, log: false }
    }

    /// The same on a logarithmic scale, where all of it is positive.
    pub fn logarithmic(self) -> Domain {
        Domain { log: self.low > 0.0, ..self }
    }

    pub fn scale(&self, from: f64, to: f64) -> Scale {
        match self.log {
            true => Scale::logarithmic(self.low, self.high, from, to),
            false => Scale::linear(self.low, self.high, from, to),
        }
    }
}

/// Height of a row of names below an axis.
pub const NAME_ROW: f64 = 15.0;

/// Whether words along an axis, `pitch` pixels from each other, take two rows, every other one below.
pub fn in_two_rows(names: &[String], pitch: f64) -> bool {
    names.iter().any(|name| name.parse::<f64>().is_err() && width(name, SMALL) > pitch - 6.0)
}

/// A plot's frame: both scales and where they lie.
pub struct Frame<'a> {
    pub x: Scale,
    pub y: Scale,
    /// Names of x = 0, 1, …, in the place of numbers; else empty.
    pub names: &'a [String],
}

impl Frame<'_> {
    /// Grid and tick labels.
    pub fn draw(&self, canvas: &Canvas) -> Result<()> {
        let (left, right, bottom, top) = (self.x.from, self.x.to, self.y.from, self.y.to);
        for (value, label) in self.y_ticks(bottom - top) {
            let y = self.y.pixel(value);
            canvas.line(&[(left, y), (right, y)], LIGHT, 1.0, 1.0)?;
            canvas.text(&label, (left - 7.0, y), SMALL, GREY, Anchor::Right)?;
        }
        self.x_axis(canvas)?;
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1.0, 1.0)
    }

    /// About one every 45 pixels; a scale with a single one cannot be read, so then more, as long as they do not touch.
    fn y_ticks(&self, tall: f64) -> Vec<(f64, String)> {
        let wanted = (tall / 45.0).max(2.0) as usize;
        let most = (tall / 18.0).max(2.0) as usize;
        let ticks = (wanted..=most.max(wanted)).map(|about| self.y.ticks(about));
        let fits = |ticks: &Vec<(f64, String)>| {
            ticks.windows(2).all(|pair| (self.y.pixel(pair[1].0) - self.y.pixel(pair[0].0)).abs() >= 16.0)
        };
        let mut ticks: Vec<Vec<(f64, String)>> = ticks.collect();
        let at = ticks.iter().position(|ticks| ticks.len() > 2 && fits(ticks));
        let at = at.or_else(|| ticks.iter().position(|ticks| ticks.len() > 1 && fits(ticks)));
        ticks.swap_remove(at.unwrap_or(0))
    }

    fn x_axis(&self, canvas: &Canvas) -> Result<()> {
        let (left, right, bottom) = (self.x.from, self.x.to, self.y.from);
        let pitch = self.x.pixel(1.0) - self.x.pixel(0.0);
        let two_rows = in_two_rows(self.names, pitch);
        let widest = self.names.iter().map(|name| width(name, SMALL)).fold(0.0, f64::max);
        let every = ((widest + 6.0) / pitch).ceil().max(1.0) as usize;
        let room = |place: usize| {
            let x = self.x.pixel(place as f64);
            let edge = 2.0 * (x - 3.0).min(canvas.width() - x - 3.0);
            (if two_rows { 2.0 * pitch - 6.0 } else { pitch - 6.0 }).min(edge)
        };
        let shown = fitted_apart(self.names, SMALL, room);
        for (place, (name, shown)) in self.names.iter().zip(&shown).enumerate() {
            let x = self.x.pixel(place as f64);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], INK, 1.0, 1.0)?;
            // Numbers are left out where they do not fit, words are cut.
            let is_number = name.parse::<f64>().is_ok();
            if is_number && !place.is_multiple_of(every) {
                continue;
            }
            let below = if two_rows { NAME_ROW * (place % 2) as f64 } else { 0.0 };
            let name = if is_number { name } else { shown };
            canvas.text(name, (x, bottom + 14.0 + below), SMALL, INK, Anchor::Centre)?;
        }
        if !self.names.is_empty() {
            return Ok(());
        }
        // As many as fit without touching.
        let ticks = (2..=((right - left) / 45.0).max(2.0) as usize).rev().map(|about| self.x.ticks(about));
        let fits = |ticks: &Vec<(f64, String)>| {
            ticks.windows(2).all(|pair| {
                let gap = self.x.pixel(pair[1].0) - self.x.pixel(pair[0].0);
                gap > 8.0 + 0.5 * (width(&pair[0].1, SMALL) + width(&pair[1].1, SMALL))
            })
        };
        let mut ticks: Vec<Vec<(f64, String)>> = ticks.collect();
        let at = ticks.iter().position(fits).unwrap_or(ticks.len() - 1);
        for (value, label) in ticks.swap_remove(at) {
            let x = self.x.pixel(value);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], INK, 1.0, 1.0)?;
            canvas.text(&label, (x, bottom + 14.0), SMALL, GREY, Anchor::Centre)?;
        }
        Ok(())
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
        assert_eq!(labels(Scale::logarithmic(1e-8, 2e-5, 0.0, 1.0)), ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵"]);
    }

    #[test]
    fn short_logarithmic_scales_have_round_ticks() {
        let labels = |low, high| -> Vec<String> {
            Scale::logarithmic(low, high, 0.0, 1.0).ticks(6).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(1e5, 1.6e6), ["100 k", "200 k", "500 k", "1 M"]);
        assert_eq!(labels(2e-8, 4e-7), ["2×10⁻⁸", "5×10⁻⁸", "1×10⁻⁷", "2×10⁻⁷"]);
        assert_eq!(labels(0.22, 0.44), ["0.25", "0.30", "0.35", "0.40"]);
        assert_eq!(labels(0.9, 4.4), ["1", "1.2", "1.5", "2", "3", "4"]);
    }

    /// One label does not say how far apart two values are.
    #[test]
    fn a_scale_has_two_labels_at_least() {
        for tall in [130.0, 160.0, 210.0, 350.0] {
            for k in 0..400 {
                let (low, span) = (0.7 + 0.01 * f64::from(k), 0.03 * 1.02_f64.powi(k));
                let frame = Frame {
                    x: Scale::linear(0.0, 1.0, 0.0, 1.0),
                    y: Scale::linear(low, low + span, tall, 0.0),
                    names: &[],
                };
                let ticks = frame.y_ticks(tall);
                assert!(ticks.len() > 1, "{low} to {} in {tall}: {ticks:?}", low + span);
            }
        }
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
