//! Files that commands read beside the tables against damage: `plan.json` as reports read it, and the choices of another evaluation.
//! What they hold or a fault, never a panic.
use super::eval::against;
use crate::base::fuzz::{self, mutation};
use crate::record::harness::ITEMS_FILE;
use crate::report::{PLAN_FILE, ReportRequest};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;

const PLAN: &str = r#"{
  "title": "a title", "question": "which?",
  "comparisons": [{"variant": "a", "baseline": "b", "metric": "acc", "margin": 0.5, "at": "pooled", "variant_at": {"x": "1"}}],
  "questions": [{"arm": "a", "axes": ["x", "y"], "metric": "gold_probability", "slope": false, "family": "f"}],
  "labels": {"arms": {"a": "A"}},
  "runs": [{"run": "a-s1", "arm": "a", "seed": 1, "axes": {"x": "1", "y": null}}],
  "base": {"source": {"per_seed": true}}
}"#;
const ITEMS: &str = "task,item,gold,choice,loglik,num_chars,num_bytes,num_tokens,acc,acc_norm\n\
                     piqa,one,0,0,-3.5,3,3,1,1,1\npiqa,one,0,1,-4.5,3,3,1,0,0\n";

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(200, 1),
        rng_seed: RngSeed::Fixed(27),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn undamaged_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(PLAN_FILE), PLAN).unwrap();
    assert_eq!(ReportRequest::read(folder.path()).unwrap().comparisons[0].margin, Some(0.5));
    fs::write(folder.path().join(ITEMS_FILE), ITEMS).unwrap();
    assert_eq!(against::read(folder.path()).unwrap().len(), 2);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn plans_of_reports_never_panic(change in mutation()) {
        let folder = fuzz::folder();
        fs::write(folder.join(PLAN_FILE), change.of(PLAN.as_bytes())).expect("written");
        let _ = ReportRequest::read(&folder);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn choices_of_other_evaluations_never_panic(change in mutation()) {
        let folder = fuzz::folder();
        fs::write(folder.join(ITEMS_FILE), change.of(ITEMS.as_bytes())).expect("written");
        let _ = against::read(&folder);
    }
}
