//! How wide a text is drawn, so that room is made for it and nothing is cut off.
//!
//! Advance widths of DejaVu Sans, which is at least as wide as the fonts that browsers take for `sans-serif`: a text is never
//! wider than this says.

/// Advance widths of the characters from space to `~`, in thousandths of the font size.
const ASCII: [u16; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, // to /
    636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, // to ?
    1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, // to O
    603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, // to _
    500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, // to o
    635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838, // to ~
];

/// Width of `text` in CSS pixels at `size` pixels.
pub fn width(text: &str, size: f64) -> f64 {
    let of = |c: char| match (c as usize).checked_sub(32).and_then(|at| ASCII.get(at)) {
        Some(advance) => f64::from(*advance),
        None if "·’‘".contains(c) => 350.0,
        None if "⁰¹²³⁴⁵⁶⁷⁸⁹⁻".contains(c) => 530.0,
        // Letters of other scripts, arrows, stars.
        None => 1000.0,
    };
    text.chars().map(of).sum::<f64>() * size / 1000.0
}

/// `text` in at most `room` pixels at `size`, its last character an ellipsis where it was longer.
pub fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_string();
    }
    let mut kept = text.to_string();
    while kept.pop().is_some() {
        let shorter = format!("{}…", kept.trim_end());
        if width(&shorter, size) <= room {
            return shorter;
        }
    }
    "…".to_string()
}

/// `text` in at most `lines` lines of `room` pixels, broken at spaces; what is left over is cut.
pub fn wrapped(text: &str, size: f64, room: f64, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let full = out.len() == lines;
        match out.last_mut() {
            Some(line) if full || width(&format!("{line} {word}"), size) <= room => {
                *line += &format!(" {word}")
            }
            _ => out.push(word.to_string()),
        }
    }
    out.iter().map(|line| fitted(line, size, room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_their_room() {
        assert!((width("iM", 10.0) - 11.41).abs() < 1e-9);
        for room in [20.0, 60.0, 100.0] {
            let text = fitted("direct_proportional_total_tokens", 12.0, room);
            assert!(text.ends_with('…') && width(&text, 12.0) <= room, "{text}");
        }
        assert_eq!(fitted("short", 12.0, 100.0), "short");
        assert_eq!(wrapped("feed-forward channels", 12.0, 90.0, 2), ["feed-forward", "channels"]);
        assert_eq!(wrapped("one two three four", 12.0, 60.0, 2), ["one two", "three four"]);
    }
}
