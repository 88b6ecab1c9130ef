//! What a model's stage keeps beside the weights against damage. The stage's header vouches for it; the reader alone must not
//! panic, and what it takes must be what can be written again.
use super::model::{MadeOn, Summary};
use crate::base::fuzz::{self, mutation};
use crate::prune::{EventRecord, LayerSurvivors, PrunerState, Survivors};
use crate::schema::Biases;
use crate::schema::groups::GroupType;
use crate::train::{CurvePoint, Ledger, Part};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fs;
use std::sync::LazyLock;

static TRAINING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut ledger = Ledger::default();
    ledger.add(Part::Train, 512, 1e6, 0.25);
    let point = CurvePoint {
        step: 2,
        tokens_seen: 512,
        params: 900,
        loss: 1.5,
        grad_norm: 0.5,
        learning_rate: 1e-3,
        flops: 1e6,
        held_out_loss: Some(1.75),
    };
    let event = EventRecord {
        event: 1,
        step: 1,
        tokens_seen: 256,
        group_type: GroupType::Ffn,
        layer: None,
        layers: vec![0],
        indices: vec![1],
        saliency: 0.25,
        candidates: Vec::new(),
        params: 880,
        completion: false,
        gram_age_steps: Some(0),
        gram_age_events: Some(0),
        gram_tokens: Some(256),
        damping: Some(0.01),
        fisher_units: None,
        sums_from_event: None,
        saliency_flops: 1000,
        update_flops: 10,
    };
    let of_layer = LayerSurvivors {
        layer: 0,
        ffn: vec![0, 2],
        kv_heads: vec![0],
        query_heads: vec![0, 1],
        rotary_pairs: vec![0],
    };
    let pruner = PrunerState {
        survivors: Survivors { stem: vec![0, 1, 2], layers: vec![of_layer] },
        events: 1,
        completion: None,
        end: None,
        biases: Biases::NONE,
    };
    let made_on = MadeOn {
        engine: "cpu".into(),
        precision: "f32".into(),
        products: None,
        devices: None,
        sequences_at_once: 4,
        device_peak_bytes: None,
    };
    let summary = Summary {
        source_ledger: Some(ledger.clone()),
        ledger,
        curve: vec![point],
        events: vec![event],
        pruner: Some(pruner),
        made_on: Some(made_on),
    };
    serde_json::to_vec(&summary).expect("JSON")
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(200, 1),
        rng_seed: RngSeed::Fixed(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn summaries_of_training_never_panic(change in mutation()) {
        let folder = fuzz::folder();
        fs::write(folder.join("training.json"), change.of(&TRAINING)).expect("written");
        if let Ok(summary) = Summary::read(&folder) {
            prop_assert!(serde_json::to_vec(&summary).is_ok());
        }
    }
}
