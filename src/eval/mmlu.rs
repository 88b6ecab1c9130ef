//! MMLU (Hendrycks et al. 2021, arXiv:2009.03300): 57 subjects in four groups, in letter and continuation form.
//!
//! A group's score, and the score over all, is the mean over its items: subjects weigh by their number of items.
use super::error::EvalError;
use super::fields::Fields;
use super::task::{Item, TextRequest};
use super::text::python_strip;
use crate::base::suggest::nearest;

/// Groups with their subjects, as the harness divides them.
pub const GROUPS: [(&str, &[&str]); 4] = [
    (
        "stem",
        &[
            "abstract_algebra",
            "anatomy",
            "astronomy",
            "college_biology",
            "college_chemistry",
            "college_computer_science",
            "college_mathematics",
            "college_physics",
            "computer_security",
            "conceptual_physics",
            "electrical_engineering",
            "elementary_mathematics",
            "high_school_biology",
            "high_school_chemistry",
            "high_school_computer_science",
            "high_school_mathematics",
            "high_school_physics",
            "high_school_statistics",
            "machine_learning",
        ],
    ),
    (
        "humanities",
        &[
            "formal_logic",
            "high_school_european_history",
            "high_school_us_history",
            "high_school_world_history",
            "international_law",
            "jurisprudence",
            "logical_fallacies",
            "moral_disputes",
            "moral_scenarios",
            "philosophy",
            "prehistory",
            "professional_law",
            "world_religions",
        ],
    ),
    (
        "social_sciences",
        &[
            "econometrics",
            "high_school_geography",
            "high_school_government_and_politics",
            "high_school_macroeconomics",
            "high_school_microeconomics",
            "high_school_psychology",
            "human_sexuality",
            "professional_psychology",
            "public_relations",
            "security_studies",
            "sociology",
            "us_foreign_policy",
        ],
    ),
    (
        "other",
        &[
            "business_ethics",
            "clinical_knowledge",
            "college_medicine",
            "global_facts",
            "human_aging",
            "management",
            "marketing",
            "medical_genetics",
            "miscellaneous",
            "nutrition",
            "professional_accounting",
            "professional_medicine",
            "virology",
        ],
    ),
];

/// The letters before the choices, and the continuations scored in letter form.
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// The group of a subject.
pub fn group_of(subject: &str) -> Option<&'static str> {
    GROUPS.iter().find(|(_, subjects)| subjects.contains(&subject)).map(|(group, _)| *group)
}

/// An item from its fields, in letter form or in continuation form.
pub(super) fn item(letters: bool, fields: &Fields, index: usize) -> Result<Item, EvalError> {
    let subject = fields.text("subject")?;
    if group_of(&subject).is_none() {
        let known = GROUPS.iter().flat_map(|(_, subjects)| subjects.iter().copied());
        let hint = nearest(&subject, known).map_or(String::new(), |name| format!(", such as `{name}`"));
        return Err(fields.fault("subject", format!("`{subject}`"), format!("one of MMLU's 57{hint}")));
    }
    let question = fields.text("question")?;
    let question = python_strip(&question);
    let texts = fields.texts("choices")?;
    if texts.len() != LETTERS.len() {
        return Err(fields.fault("choices", format!("a list of {}", texts.len()), "a list of 4 texts"));
    }
    let gold = fields.index("answer", 0, LETTERS.len())?;
    let (description, context, choices) = if letters {
        let topic = subject.replace('_', " ");
        let listed: String =
            LETTERS.iter().zip(&texts).map(|(letter, text)| format!("{letter}. {text}\n")).collect();
        (
            format!("The following are multiple choice questions (with answers) about {topic}.\n\n"),
            format!("{question}\n{listed}Answer:"),
            LETTERS.map(str::to_string).to_vec(),
        )
    } else {
        (String::new(), format!("Question: {question}\nAnswer:"), texts)
    };
    let requests = choices
        .iter()
        .map(|choice| TextRequest {
            context: format!("{description}{context}"),
            continuation: format!(" {choice}"),
        })
        .collect();
    let item = Item::named(fields.id(index), index);
    Ok(Item { subject: Some(subject), description, requests, choices, gold, ..item })
}
