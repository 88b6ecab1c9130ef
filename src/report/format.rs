//! How numbers look in tables; `None` is blank.
use super::metric::Metric;
use crate::base::units;
use crate::stats::Interval;

/// A share as a percentage with one decimal.
pub fn percent(x: f64) -> String {
    signless_zero(format!("{:.1}", 100.0 * x))
}

/// A difference of shares in percentage points, with its sign.
pub fn points(x: f64) -> String {
    signed(format!("{:+.1}", 100.0 * x))
}

/// A value of `metric`: a share in percent with one decimal, anything else with three.
pub fn value(metric: Metric, x: f64) -> String {
    if metric.is_share() { percent(x) } else { fixed(Some(x), 3) }
}

/// A difference of two values of `metric` with its sign: points, or three decimals.
pub fn difference(metric: Metric, x: f64) -> String {
    if metric.is_share() { points(x) } else { signed_fixed(x, 3) }
}

/// The size of a difference of two values of `metric`: points, or three decimals.
pub fn magnitude(metric: Metric, x: f64) -> String {
    if metric.is_share() { percent(x.abs()) } else { fixed(Some(x.abs()), 3) }
}

/// `45.2 (43.1 to 47.3)`.
pub fn percent_with_interval(mean: Option<f64>, interval: Option<Interval>) -> String {
    match (mean, interval) {
        (Some(m), Some(i)) => format!("{} ({} to {})", percent(m), percent(i.low), percent(i.high)),
        (Some(m), None) => percent(m),
        (None, _) => String::new(),
    }
}

pub fn fixed(x: Option<f64>, digits: usize) -> String {
    x.map_or(String::new(), |v| signless_zero(format!("{v:.digits$}")))
}

pub fn signed_fixed(x: f64, digits: usize) -> String {
    signed(format!("{x:+.digits$}"))
}

/// Three significant digits and a decimal prefix.
pub fn si(x: Option<f64>) -> String {
    x.map_or(String::new(), |v| units::si(v, ""))
}

pub fn p_value(p: Option<f64>) -> String {
    match p {
        None => String::new(),
        Some(p) if p < 0.001 => "< 0.001".into(),
        Some(p) => format!("{p:.3}"),
    }
}

/// `p < 0.001` or `p = 0.012`.
pub fn p_equation(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

/// A true minus sign, and no sign on zero.
fn signed(text: String) -> String {
    if text.chars().all(|c| "+-0.".contains(c)) {
        return text.trim_start_matches(['+', '-']).to_string();
    }
    text.replace('-', "−")
}

fn signless_zero(text: String) -> String {
    if text.starts_with('-') { signed(text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(percent(0.4516), "45.2");
        assert_eq!(
            (points(0.031), points(-0.031), points(-0.0001)),
            ("+3.1".into(), "−3.1".into(), "0.0".into())
        );
        assert_eq!(percent_with_interval(None, None), "");
        assert_eq!(
            percent_with_interval(Some(0.5), Some(Interval { low: 0.4, high: 0.6 })),
            "50.0 (40.0 to 60.0)"
        );
        assert_eq!(
            (p_value(Some(0.0001)), p_value(Some(0.0123)), p_value(None)),
            ("< 0.001".into(), "0.012".into(), String::new())
        );
    }
}
