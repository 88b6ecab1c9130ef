//! Under which licence a model stands, as far as it says so itself.
//!
//! | model | where it says so |
//! |---|---|
//! | a folder | `license` in the front matter of its `README.md` (`license_name` where that is `other`) |
//! | a GGUF file | `general.license` |
use crate::base::input;
use std::fmt;
use std::path::Path;

/// What a card says of a licence that is not known; the hub knows the word.
const UNKNOWN: &str = "unknown";
/// Largest card that is read.
const MAX_CARD_BYTES: u64 = 1 << 22;

/// The licence of a model, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Licence {
    /// An identifier as the hub uses it: SPDX in lower case, mostly.
    Named(String),
    /// Why it is not known.
    Unknown(String),
}

impl Licence {
    /// What the model says, or that it says nothing.
    pub fn stated(licence: Option<String>) -> Licence {
        match licence.filter(|name| name != UNKNOWN) {
            Some(name) => Licence::Named(name),
            None => Licence::Unknown("the source does not name one".to_string()),
        }
    }

    /// The word in the front matter of a card.
    pub fn identifier(&self) -> &str {
        match self {
            Licence::Named(name) => name,
            Licence::Unknown(_) => UNKNOWN,
        }
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Licence::Named(name) => f.write_str(name),
            Licence::Unknown(why) => write!(f, "{UNKNOWN}: {why}"),
        }
    }
}

/// The licence that the card of the model in `folder` names.
pub(super) fn of_folder(folder: &Path) -> Option<String> {
    of_card(&input::read_text(&folder.join("README.md"), MAX_CARD_BYTES).ok()?)
}

/// The licence in the front matter of a card. Of YAML what cards use is read: plain and quoted words, lists of words.
fn of_card(card: &str) -> Option<String> {
    let mut lines = card.trim_start_matches('\u{feff}').lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let front: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let word = |text: &str| text.trim().trim_matches(['"', '\'']).to_string();
    let value = |key: &str| {
        let at =
            front.iter().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
        let own = word(&front[at][key.len() + 1..]);
        let items = front[at + 1..].iter().map_while(|line| line.trim_start().strip_prefix("- "));
        let listed = items.map(word).collect::<Vec<_>>().join(", ");
        Some(if own.is_empty() { listed } else { own }).filter(|text| !text.is_empty())
    };
    match value("license") {
        Some(other) if other == "other" => value("license_name").or(Some(other)),
        licence => licence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_name_a_licence_in_their_front_matter_only() {
        for (card, expected) in [
            ("---\nlicense: apache-2.0\n---\n# Model", Some("apache-2.0")),
            ("---\r\ntags:\r\n- a\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\nlicense:\n- mit\n- 'bsd-3-clause'\nlanguage: en\n---\n", Some("mit, bsd-3-clause")),
            ("---\nlicense: other\nlicense_name: llama3\n---\n", Some("llama3")),
            ("---\nlicense: other\n---\n", Some("other")),
            ("---\nlicense_link: x\n---\nlicense: mit", None),
            ("# Model\nlicense: mit\n", None),
            ("---\nlicense:\n---\n", None),
            ("", None),
        ] {
            assert_eq!(of_card(card).as_deref(), expected, "{card}");
        }
        let unknown = Licence::stated(None);
        assert_eq!(unknown.to_string(), "unknown: the source does not name one");
        assert_eq!(Licence::stated(Some(unknown.identifier().to_string())), unknown);
        assert_eq!(Licence::stated(Some("mit".into())).to_string(), "mit");
    }
}
