//! What every figure holds to, on a page as in a column: no label leaves the canvas, lies on another, or is crossed by a line.
use super::canvas::Sheet;
use super::text::width;

/// A text of an SVG with its box: left, top, right, bottom.
#[derive(Debug)]
pub struct TextBox {
    pub text: String,
    /// Font size.
    pub size: f64,
    pub corners: [f64; 4],
}

/// Value of `name="…"` in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

fn number(tag: &str, name: &str) -> f64 {
    attribute(tag, name).and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The canvas of `svg` (width, height) and the boxes of its texts, in drawing units.
pub fn text_boxes(svg: &str) -> ((f64, f64), Vec<TextBox>) {
    let frame: Vec<f64> = attribute(svg, "viewBox").unwrap().split(' ').map(|x| x.parse().unwrap()).collect();
    let of = |part: &str| {
        let (tag, rest) = part.split_once('>').unwrap();
        let tag = format!(" {tag}");
        let text = rest.split("</text>").next().unwrap().trim();
        let text =
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&quot;", "\"");
        let (x, y, size) = (number(&tag, "x"), number(&tag, "y"), number(&tag, "font-size"));
        let wide = width(&text, size);
        let before = match attribute(&tag, "text-anchor") {
            Some("middle") => 0.5 * wide,
            Some("end") => wide,
            _ => 0.0,
        };
        // Upwards or across; the middle of the letters is at the given place.
        let half = 0.55 * size;
        let corners = match tag.contains("rotate(270") {
            true => [x - half, y - wide + before, x + half, y + before],
            false => [x - before, y - half, x - before + wide, y + half],
        };
        TextBox { text, size, corners }
    };
    ((frame[2], frame[3]), svg.split("<text").skip(1).map(of).collect())
}

/// Panics where a label of `svg` is cut off by the edge of the canvas.
pub fn assert_nothing_clipped(name: &str, svg: &str) {
    let ((wide, tall), boxes) = text_boxes(svg);
    for TextBox { text, corners: [left, top, right, bottom], .. } in boxes {
        assert!(
            left >= -1.0 && top >= -1.0 && right <= wide + 1.0 && bottom <= tall + 1.0,
            "{name}: `{text}` at {left} {top} {right} {bottom} leaves {wide} × {tall}"
        );
    }
}

/// Pairs of texts of `svg` that overlap.
pub fn overlaps(svg: &str) -> Vec<(String, String)> {
    let (_, boxes) = text_boxes(svg);
    let mut out = Vec::new();
    for (i, a) in boxes.iter().enumerate() {
        for b in &boxes[i + 1..] {
            // Boxes hold the space above and below the letters; 15 % of it may be shared.
            let slack = 0.15 * (a.corners[3] - a.corners[1]).min(b.corners[3] - b.corners[1]);
            let apart = |low: usize, high: usize| {
                a.corners[high] - slack <= b.corners[low] || b.corners[high] - slack <= a.corners[low]
            };
            if !apart(0, 2) && !apart(1, 3) {
                out.push((a.text.clone(), b.text.clone()));
            }
        }
    }
    out
}

/// Texts of `svg` that a line, a curve or a stroke runs through.
pub fn struck_out(svg: &str) -> Vec<String> {
    let (_, boxes) = text_boxes(svg);
    let mut out = Vec::new();
    for tag in svg.split("<polyline").skip(1).filter_map(|part| part.split('>').next()) {
        let points = attribute(tag, "points").unwrap_or_default();
        let points: Vec<(f64, f64)> = points
            .split_whitespace()
            .filter_map(|point| point.split_once(','))
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        // Most lines are far from most texts.
        let over = |pick: fn(&(f64, f64)) -> f64| {
            let values = points.iter().map(pick);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let ((west, east), (north, south)) = (over(|p| p.0), over(|p| p.1));
        for text in &boxes {
            // The letters themselves: a box has space above and below them.
            let [left, top, right, bottom] = text.corners;
            let letters = [left, top + 0.2 * (bottom - top), right, bottom - 0.2 * (bottom - top)];
            if right < west || left > east || bottom < north || top > south {
                continue;
            }
            let through = points.windows(2).filter(|ends| crosses(ends[0], ends[1], letters));
            out.extend(through.map(|_| text.text.clone()));
        }
    }
    out
}

/// Whether the stretch from `a` to `b` has a point within a box (Liang and Barsky 1984).
fn crosses(a: (f64, f64), b: (f64, f64), [left, top, right, bottom]: [f64; 4]) -> bool {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, a.0 - left), (dx, right - a.0), (-dy, a.1 - top), (dy, bottom - a.1)] {
        if step == 0.0 {
            if room <= 0.0 {
                return false;
            }
        } else if step < 0.0 {
            from = from.max(room / step);
        } else {
            to = to.min(room / step);
        }
    }
    from < to
}

/// All of that for a figure drawn on both sheets.
pub fn assert_legible(name: &str, wide: &str, narrow: &str) {
    for (sheet, svg) in [("wide", wide), ("narrow", narrow)] {
        let name = format!("{name} {sheet}");
        assert_nothing_clipped(&name, svg);
        assert_eq!(overlaps(svg), [], "{name}");
        assert_eq!(struck_out(svg), [] as [String; 0], "{name}");
    }
}

/// Draws on both sheets, checks both, keeps them where a person wants to look, and returns the page's.
pub fn checked(name: &str, draw: impl Fn(Sheet) -> crate::report::Result<Option<String>>) -> String {
    let [wide, narrow] = [Sheet::WIDE, Sheet::NARROW].map(|sheet| draw(sheet).unwrap().expect("a figure"));
    assert_legible(name, &wide, &narrow);
    for (sheet, svg) in [("wide", &wide), ("narrow", &narrow)] {
        if let Ok(folder) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}-{sheet}.svg")), svg).unwrap();
        }
    }
    wide
}

#[test]
fn lines_through_texts_are_found() {
    let line = |points: &str| format!("<polyline stroke=\"#282828\" points=\"{points}\"/>");
    let page = |lines: &str| {
        format!(
            "<svg width=\"50\" height=\"50\" viewBox=\"0 0 400 400\">{lines}<text x=\"100\" y=\"200\" font-size=\"96\">\nword\n</text></svg>"
        )
    };
    let through =
        [line("150,0 150,400 "), line("0,200 400,200"), line("0,0 400,400"), line("90,190 160,200")];
    for line in through {
        assert_eq!(struck_out(&page(&line)), ["word"], "{line}");
    }
    let beside =
        line("50,0 50,400 ") + &line("0,140 400,140") + &line("0,300 400,300") + &line("380,0 380,400");
    assert_eq!(struck_out(&page(&beside)), [] as [String; 0]);
}
