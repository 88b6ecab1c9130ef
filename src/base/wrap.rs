//! Text in the columns of a terminal.
use super::output::columns;

/// Columns that are left to text, however narrow the terminal is.
const LEAST: usize = 16;
/// How far the later lines of a broken line stand in.
const HANGING: usize = 4;

/// `text` as it goes to standard output: in a terminal, lines that are too long are broken between words.
pub fn fitted(text: &str) -> String {
    columns().map_or_else(|| text.to_string(), |width| hanging(text, width))
}

/// `text` with every line longer than `width` broken between words, later lines further in than the first: below what follows a short
/// name and a gap, where the line begins with one.
pub fn hanging(text: &str, width: usize) -> String {
    let fits = |line: &str| line.chars().count() <= width;
    let broken = |line: &str| {
        let words = line.trim_start_matches(' ');
        let indent = line.len() - words.len();
        let named = words.find("  ").map(|end| {
            let rest = words[end..].trim_start_matches(' ');
            line.split_at(line.len() - rest.len())
        });
        let is_short = |(name, _): &(&str, &str)| 3 * name.chars().count() <= width;
        let (first, rest, hang) = match named.filter(is_short) {
            Some((name, rest)) => (name.to_string(), rest, name.chars().count()),
            None => (" ".repeat(indent), words, indent + HANGING),
        };
        let room = width.saturating_sub(hang).max(LEAST);
        format!("{first}{}", wrap(rest, room).join(&format!("\n{}", " ".repeat(hang))))
    };
    let lines = text.split('\n').map(|line| if fits(line) { line.to_string() } else { broken(line) });
    lines.collect::<Vec<_>>().join("\n")
}

/// `text` in lines of at most `width` characters, broken at spaces, and inside a word where one is longer.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.extend([word.into_iter().collect(), String::new()]);
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
    }
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() { vec![String::new()] } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_short_ones_stay_as_they_are() {
        let text =
            "  a    b\n  pruning_aware-s8-56a52d76      missing  prune.saliency=taylor_vector  update=none\n";
        let broken = "  a    b\n  pruning_aware-s8-56a52d76 missing\n      prune.saliency=taylor_vector\n      update=none\n";
        assert_eq!(hanging(text, 40), broken);
        assert_eq!(hanging(text, 200), text);
        let named = "  memory  about 1 MB\n  time    about 12 min with 2 workers of 1 thread, a guess";
        let broken =
            "  memory  about 1 MB\n  time    about 12 min with 2 workers of\n          1 thread, a guess";
        assert_eq!(hanging(named, 40), broken);
        assert!(hanging(&"y".repeat(90), 40).lines().all(|line| line.chars().count() <= 40));
    }
}
