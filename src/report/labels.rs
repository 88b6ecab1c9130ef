//! Results and questions in the names that people print; CSV files keep those of the experiment file.
use super::request::{Asked, Declared, ReportRequest};
use crate::questions::{AxisQuestion, Comparison, Labels};
use crate::record::Results;
use std::borrow::Cow;

impl Labels {
    /// The results with every name as it is printed.
    pub fn of_results<'r>(&self, results: &'r Results) -> Cow<'r, Results> {
        if self.is_empty() {
            return Cow::Borrowed(results);
        }
        let mut results = results.clone();
        for run in &mut results.runs {
            run.identity.arm = self.arm(&run.identity.arm);
            for (key, value) in &mut run.axes {
                *value = self.value(key, value);
                *key = self.axis(key);
            }
        }
        results.axes = results.axes.iter().map(|key| self.axis(key)).collect();
        Cow::Owned(results)
    }

    /// The same for all that a report is asked.
    pub fn of_request(&self, request: &ReportRequest) -> ReportRequest {
        let comparisons = |all: &[Comparison]| all.iter().map(|one| self.of_comparison(one)).collect();
        let questions = |all: &[AxisQuestion]| all.iter().map(|one| self.of_question(one)).collect();
        let declared = request.declared.as_ref().map(|declared| Declared {
            sha256: declared.sha256.clone(),
            asked: Asked {
                comparisons: comparisons(&declared.asked.comparisons),
                questions: questions(&declared.asked.questions),
            },
        });
        ReportRequest {
            comparisons: comparisons(&request.comparisons),
            questions: questions(&request.questions),
            declared,
            ..request.clone()
        }
    }
}
