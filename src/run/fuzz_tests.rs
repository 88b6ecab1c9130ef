//! The plan beside the tables, where nothing vouches for it, and the origin of a model from disk against damage: what they say or
//! nothing, never a panic.
use super::Origin;
use super::tables::{PLAN_FILE, belongs_to, declared_in};
use crate::base::fuzz::{self, mutation};
use crate::plan::{declared, document_with, plan};
use crate::spec::{self, EngineKind, no_model};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

static PLAN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text = include_str!("../../tests/fixtures/example.toml");
    let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).expect("an experiment");
    let plan = plan(&experiment, EngineKind::Cpu).expect("a plan");
    let mut json = serde_json::to_value(document_with(&plan, declared(&plan))).expect("JSON");
    // One stage and one run are like all others.
    for list in ["stages", "runs"] {
        json[list].as_array_mut().expect("a list").truncate(1);
    }
    serde_json::to_vec_pretty(&json).expect("JSON")
});

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: fuzz::cases(200, 1),
        rng_seed: RngSeed::Fixed(25),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn plans_never_panic(change in mutation()) {
        let folder = fuzz::folder();
        fs::write(folder.join(PLAN_FILE), change.of(&PLAN)).expect("written");
        let _ = belongs_to(&folder, "test");
        let _ = declared_in(&folder);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn origins_never_panic(change in mutation()) {
        let folder = fuzz::folder();
        let whole = br#"{"name": "model", "licence": "mit"}"#;
        fs::write(folder.join("origin.json"), change.of(whole)).expect("written");
        let _ = Origin::read(&folder);
    }
}
