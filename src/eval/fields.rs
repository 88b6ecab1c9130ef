//! Fields of benchmark items, with faults that name place, field and what was found.
use super::error::EvalError;
use super::text::python_strip_start;
use serde_json::{Map, Value};

/// The fields of one item and how to name it.
pub struct Fields<'a> {
    pub object: &'a Map<String, Value>,
    pub place: &'a str,
}

impl Fields<'_> {
    /// The fault that `field` holds something else than `expected`.
    pub fn fault(&self, field: &str, found: impl Into<String>, expected: impl Into<String>) -> EvalError {
        EvalError::Field {
            place: self.place.to_string(),
            field: field.to_string(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    fn unexpected(&self, field: &str, value: Option<&Value>, expected: &str) -> EvalError {
        let found = match value {
            None => {
                let names: Vec<String> = self.object.keys().map(|n| format!("`{n}`")).collect();
                format!("missing among {}", names.join(", "))
            }
            Some(value) => {
                let text = value.to_string();
                if text.chars().count() > 40 {
                    format!("{}…", text.chars().take(40).collect::<String>())
                } else {
                    text
                }
            }
        };
        self.fault(field, found, expected)
    }

    /// A text field, as it stands.
    pub fn text(&self, field: &str) -> Result<String, EvalError> {
        match self.object.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            other => Err(self.unexpected(field, other, "text")),
        }
    }

    /// A list of texts.
    pub fn texts(&self, field: &str) -> Result<Vec<String>, EvalError> {
        self.list(self.object.get(field), field)
    }

    fn list(&self, value: Option<&Value>, field: &str) -> Result<Vec<String>, EvalError> {
        let texts = value.and_then(Value::as_array).and_then(|list| {
            list.iter().map(|v| v.as_str().map(str::to_string)).collect::<Option<Vec<String>>>()
        });
        texts.filter(|list| !list.is_empty()).ok_or_else(|| self.unexpected(field, value, "a list of texts"))
    }

    /// A number of a choice, given as number or text, counted from `first`, of `count`: counted from 0.
    pub fn index(&self, field: &str, first: usize, count: usize) -> Result<usize, EvalError> {
        let value = self.object.get(field);
        let number = match value {
            Some(Value::Number(n)) => n.as_u64(),
            Some(Value::String(s)) => s.trim().parse().ok(),
            // BoolQ's own release has truth values.
            Some(Value::Bool(b)) => Some(u64::from(*b)),
            _ => None,
        };
        number.and_then(|n| (n as usize).checked_sub(first)).filter(|&n| n < count).ok_or_else(|| {
            self.unexpected(field, value, &format!("a number from {first} to {}", first + count - 1))
        })
    }

    /// `choices.text` and the place of `answerKey` in `choices.label`.
    pub fn labelled_choices(&self, strip_key: bool) -> Result<(Vec<String>, usize), EvalError> {
        let choices = self.object.get("choices");
        let part = |name: &str| self.list(choices.and_then(|c| c.get(name)), &format!("choices.{name}"));
        let (texts, labels) = (part("text")?, part("label")?);
        let key = self.text("answerKey")?;
        let key = if strip_key { python_strip_start(&key) } else { key.as_str() };
        let gold = labels.iter().position(|l| l == key).filter(|&gold| gold < texts.len());
        gold.map(|gold| (texts, gold)).ok_or_else(|| {
            self.fault("answerKey", format!("`{key}`"), format!("one of {}", labels.join(", ")))
        })
    }

    /// The item's `id`, else its number.
    pub fn id(&self, index: usize) -> String {
        match self.object.get("id") {
            Some(Value::String(id)) => id.clone(),
            _ => index.to_string(),
        }
    }
}
