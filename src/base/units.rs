//! Numbers for people: three significant digits, a prefix, a unit.
use std::time::Duration;

/// `1234567.0` with unit `FLOP` → `1.23 MFLOP`; with no unit → `1.23 M`; `512.0` → `512`.
///
/// Three significant digits; prefixes are decimal (k = 10³ … E = 10¹⁸).
pub fn si(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return format!("{value} {unit}").trim_end().to_string();
    }
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (mut scaled, mut index) = (value, 0);
    // 999.5 would print as 1000 with three digits, so the next prefix starts there.
    while scaled.abs() >= 999.5 && index + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        index += 1;
    }
    let digits = match scaled.abs() {
        s if s >= 99.95 || (index == 0 && s.fract() == 0.0) => 0,
        s if s >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$} {}{unit}", PREFIXES[index]).trim_end().to_string()
}

/// `1638400` → `1_638_400`, as numbers are written in experiment files.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// `0.25 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`, `3 d 04 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.995 => format!("{seconds:.2} s"),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        w if w < 3600 => format!("{} min {:02} s", w / 60, w % 60),
        w if w < 86_400 => format!("{} h {:02} min", w / 3600, w % 3600 / 60),
        w => format!("{} d {:02} h", w / 86_400, w % 86_400 / 3600),
    }
}

/// As [`duration`], of a number of seconds; a negative, infinite or unknown one is `–`.
pub fn seconds(value: f64) -> String {
    Duration::try_from_secs_f64(value).map_or("–".to_string(), duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (value, unit, expected) in [
            (0.0, "", "0"),
            (512.0, "", "512"),
            (999.0, "B", "999 B"),
            (999.6, "", "1.00 k"),
            (1_234_567.0, "", "1.23 M"),
            (4.5e9, "FLOP", "4.50 GFLOP"),
            (12_345.0, "B", "12.3 kB"),
            (123_456.0, "B", "123 kB"),
            (0.5, "s", "0.50 s"),
            (-1_500.0, "", "-1.50 k"),
        ] {
            assert_eq!(si(value, unit), expected, "{value} {unit}");
        }
    }

    #[test]
    fn digits_are_grouped_by_threes() {
        assert_eq!([0, 999, 1000, 1_638_400].map(grouped), ["0", "999", "1_000", "1_638_400"]);
    }

    #[test]
    fn durations_have_two_places() {
        for (value, expected) in [
            (0.25, "0.25 s"),
            (12.34, "12.3 s"),
            (59.97, "1 min 00 s"),
            (245.0, "4 min 05 s"),
            (7_620.0, "2 h 07 min"),
            (273_600.0, "3 d 04 h"),
            (-1.0, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(seconds(value), expected, "{value}");
        }
    }
}
