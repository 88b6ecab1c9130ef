//! How wide a text is set in Computer Modern, so that a table can be made to fit its line.

/// Advance widths of cmr10 from space to `~`, in thousandths of the font size (from its metric file; what it lacks is set in
/// mathematics).
const ROMAN: [u16; 95] = [
    333, 278, 500, 833, 500, 833, 778, 278, 389, 389, 500, 778, 278, 333, 278, 500, // to /
    500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 278, 278, 778, 778, 778, 472, // to ?
    778, 750, 708, 722, 764, 681, 653, 785, 750, 361, 514, 778, 625, 917, 750, 778, // to O
    681, 778, 736, 556, 722, 750, 750, 1028, 750, 750, 611, 278, 500, 278, 778, 500, // to _
    278, 500, 556, 444, 556, 444, 306, 500, 556, 278, 306, 528, 278, 833, 556, 500, // to o
    556, 528, 392, 394, 389, 556, 528, 722, 528, 528, 444, 500, 278, 500, 778, // to ~
];
/// Of every character of cmtt10.
const TYPEWRITER: f64 = 525.0;
/// Digits that are raised or lowered: smaller, in a design that is wider for its size.
const SCRIPT: f64 = 0.86;
/// Bold letters (cmbx10) are about this much wider.
const BOLD: f64 = 1.16;

/// A size of the standard classes at 10 points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub command: &'static str,
    points: f64,
    /// Small designs are wider for their size.
    stretch: f64,
}

pub const SIZES: [Size; 3] = [
    Size { command: "small", points: 9.0, stretch: 1.03 },
    Size { command: "footnotesize", points: 8.0, stretch: 1.07 },
    Size { command: "scriptsize", points: 7.0, stretch: 1.15 },
];

impl Size {
    /// Points that `text` (with `code` and **bold**) takes.
    pub fn width(self, text: &str) -> f64 {
        if let Some([mean, above, below]) = super::scripts(text) {
            let ends = [above, below].map(|end| self.width(&format!("+{end}")));
            return self.width(mean) + SCRIPT * ends[0].max(ends[1]);
        }
        let scale = self.points * self.stretch / 1000.0;
        let mut bold = false;
        let mut sum = 0.0;
        for (code, part) in super::super::document::spans(text) {
            if code {
                sum += TYPEWRITER * part.chars().count() as f64;
                continue;
            }
            for (i, piece) in part.split("**").enumerate() {
                bold ^= i > 0;
                let wide: f64 = piece.chars().map(roman).sum();
                sum += if bold { BOLD * wide } else { wide };
            }
        }
        sum * scale
    }
}

fn roman(c: char) -> f64 {
    match (c as usize).checked_sub(32).and_then(|at| ROMAN.get(at)) {
        Some(width) => f64::from(*width),
        // Signs of mathematics with the space around them, dashes, other letters.
        None if "±×·−†".contains(c) => 1000.0,
        None => 1000.0,
    }
}
