//! What every figure holds to: no label leaves the canvas, on a page as in a column.
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

/// Draws on both sheets, checks both, keeps them where a person wants to look, and returns the page's.
pub fn checked(name: &str, draw: impl Fn(Sheet) -> crate::report::Result<Option<String>>) -> String {
    let [wide, narrow] = [Sheet::WIDE, Sheet::NARROW].map(|sheet| draw(sheet).unwrap().expect("a figure"));
    for (sheet, svg) in [("wide", &wide), ("narrow", &narrow)] {
        assert_nothing_clipped(&format!("{name} {sheet}"), svg);
        assert_eq!(overlaps(svg), [], "{name} {sheet}");
        if let Ok(folder) = std::env::var("EFFICIENTLLM_REPORT_PREVIEW") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}-{sheet}.svg")), svg).unwrap();
        }
    }
    wide
}
