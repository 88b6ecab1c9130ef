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

/// Characters after which a name may be cut.
const BREAKS: [char; 8] = ['_', '-', ' ', '.', '/', ',', '=', '·'];

/// `texts` at `size`, each in at most its own `room` pixels, cut so that they can still be told apart: at their ends; where
/// that makes two of them alike, without the beginning that they share; where that does not do either, in their middles.
pub fn fitted_apart(texts: &[String], size: f64, room: impl Fn(usize) -> f64) -> Vec<String> {
    let cut = |with: &dyn Fn(&str, f64) -> String| -> Vec<String> {
        let one = |(at, text): (usize, &String)| match width(text, size) <= room(at) {
            true => text.clone(),
            false => with(text, room(at)),
        };
        texts.iter().enumerate().map(one).collect()
    };
    let tells_apart = |shown: &Vec<String>| number_of(shown) == number_of(texts);
    let at_ends = cut(&|text, room| fitted(text, size, room));
    if tells_apart(&at_ends) {
        return at_ends;
    }
    let long =
        || texts.iter().enumerate().filter(|(at, text)| width(text, size) > room(*at)).map(|(_, text)| text);
    let shared = shared_beginning(long());
    let without_it = cut(&|text, room| shortened(text.split_at(shared), size, room));
    if shared > 0 && tells_apart(&without_it) {
        return without_it;
    }
    cut(&|text, room| without_middle(text, size, room))
}

/// A beginning and what comes after it, of the beginning only as much as there is room for.
fn shortened((beginning, rest): (&str, &str), size: f64, room: f64) -> String {
    let mut head = beginning.to_string();
    while head.pop().is_some() {
        let text = format!("{head}…{rest}");
        if head.chars().count() > 2 && width(&text, size) <= room {
            return text;
        }
    }
    fitted(&format!("…{rest}"), size, room)
}

fn number_of(texts: &[String]) -> usize {
    texts.iter().collect::<std::collections::BTreeSet<_>>().len()
}

/// Bytes that all `texts` begin with, up to a place where a name may be cut, before which none of them ends.
fn shared_beginning<'a>(mut texts: impl Iterator<Item = &'a String>) -> usize {
    let Some(first) = texts.next() else { return 0 };
    let shared = texts.fold(first.len().saturating_sub(1), |shared, text| {
        let alike = first.chars().zip(text.chars()).take_while(|(a, b)| a == b);
        shared.min(alike.map(|(c, _)| c.len_utf8()).sum::<usize>().min(text.len().saturating_sub(1)))
    });
    let until = |(at, c): (usize, char)| {
        (at + c.len_utf8() <= shared && BREAKS.contains(&c)).then_some(at + c.len_utf8())
    };
    first.char_indices().filter_map(until).next_back().unwrap_or(0)
}

/// Beginning and end of `text` with an ellipsis between them.
fn without_middle(text: &str, size: f64, room: f64) -> String {
    let all: Vec<char> = text.chars().collect();
    for kept in (2..all.len()).rev() {
        // Names differ at their ends more often.
        let (head, tail) = (kept / 2, kept - kept / 2);
        let shorter: String = all[..head].iter().chain(&['…']).chain(&all[all.len() - tail..]).collect();
        if width(&shorter, size) <= room {
            return shorter;
        }
    }
    fitted(text, size, room)
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

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    /// Names of an axis begin alike more often than not: cut at their ends all would be the same.
    #[test]
    fn names_that_begin_alike_stay_told_apart() {
        let cut = |names: &[&str], room: f64| fitted_apart(&texts(names), 12.0, |_| room);
        assert_eq!(cut(&["a_long_name_of_one", "b_long_name_of_two"], 60.0), ["a_long_…", "b_long_…"]);
        let schedules = ["kind=line,prune_tokens=10240", "kind=line,prune_tokens=25600"];
        assert_eq!(cut(&schedules, 60.0), ["…10240", "…25600"]);
        assert_eq!(cut(&schedules, 90.0), ["kind=l…10240", "kind=l…25600"]);
        // One is what the others begin with, and ends in the middle of nothing.
        let rules = cut(&["layerwise_with", "layerwise_with_bias", "layerwise_with_bias_and_damping"], 74.0);
        assert_eq!(number_of(&rules), 3, "{rules:?}");
        // No place to cut: the middle goes.
        let joined = cut(&["abcdefghijklmnop1", "abcdefghijklmnop2"], 60.0);
        assert!(
            joined[0].starts_with('a') && joined[0].ends_with('1') && joined[0].contains('…'),
            "{joined:?}"
        );
        for name in rules.iter().chain(&joined) {
            assert!(width(name, 12.0) <= 74.0, "{name}");
        }
        assert_eq!(cut(&["same", "same"], 100.0), ["same", "same"]);
        assert_eq!(cut(&["é_ü_1_and_more", "é_ü_2_and_more"], 40.0).len(), 2);
    }

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
