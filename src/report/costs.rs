//! Where tokens, FLOPs and time went, by part of the ledger.
use super::groups::{Group, mean_over};
use crate::record::{LedgerPart, Results};

/// Mean over seeds of one part of one group; `None` where no run has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartCost {
    pub part: LedgerPart,
    pub tokens: Option<f64>,
    pub flops: Option<f64>,
    pub seconds: Option<f64>,
}

/// The parts that any run of `group` has entries for.
pub fn parts(results: &Results, group: &Group) -> Vec<PartCost> {
    let of = |part: LedgerPart| {
        let entry =
            |run: usize| results.ledger.iter().find(|k| k.run == run && k.row.part == part).map(|k| &k.row);
        let present = group.runs.iter().any(|r| entry(*r).is_some());
        present.then(|| PartCost {
            part,
            tokens: mean_over(&group.runs, |r| entry(r)?.tokens.map(|t| t as f64)),
            flops: mean_over(&group.runs, |r| entry(r)?.flops),
            seconds: mean_over(&group.runs, |r| entry(r)?.seconds),
        })
    };
    LedgerPart::ALL.into_iter().filter_map(of).collect()
}
