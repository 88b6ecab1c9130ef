//! A saliency rule from outside of the crate: this file is all there is to it.
//!
//! ```text
//! S[g] = Σ_{j∈g} ‖X_j‖₂ · Σ_i W_ij²
//! ```
use efficientllm::rules::saliency::{Hessian, Saliency, SaliencyRule, Statistic, register};
use efficientllm::tensor::ElementScore;

static RULE: SaliencyRule = SaliencyRule {
    name: "toy",
    summary: "squared weights by the norms of their inputs",
    source: "a test",
    hessian: Hessian::Layerwise,
    needs: &[Statistic::InputNorm],
    whole_groups: false,
    flops_per_parameter: 3,
    score: |evidence| evidence.columns(ElementScore::MagnitudeL2, Statistic::InputNorm),
};

mod used {
    use super::*;
    use efficientllm::data::Batches;
    use efficientllm::model::network::ExplicitNetwork;
    use efficientllm::model::{Rank, init};
    use efficientllm::spec::{NoSource, load};
    use efficientllm::tensor::{Alone, CpuBackend};
    use efficientllm::train::{Part, calibrate};

    /// An experiment file names it, and it prunes a model, from a forward pass alone.
    #[test]
    fn a_rule_of_one_file_is_read_planned_and_used() {
        assert!(Saliency::named("toy").is_none());
        assert!(register(&RULE).is_ok() && register(&RULE).is_ok());
        static OTHER: SaliencyRule = SaliencyRule { name: "wanda", ..RULE_COPY };
        assert_eq!(register(&OTHER).unwrap_err().name, "wanda");

        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("../fixtures/tiny.toml");
        let text =
            text.replace("[prune]\n", "[prune]\nsaliency = \"toy\"\n").replace("\"layerwise\"", "\"none\"");
        std::fs::write(folder.path().join("experiment.toml"), text).unwrap();
        let no_model = |_: &str| Err(NoSource("no model from disk here".to_string()));
        let spec = load(folder.path(), &[], &no_model).unwrap().base;
        assert_eq!(spec.prune.saliency.name, "toy");

        let config = spec.model.config(300, 32);
        let backend = CpuBackend::<f32>::new();
        let weights = init::random_weights(&backend, &config, 1);
        let tokens: Vec<u32> = (0..5000u32).map(|i| i * i % 300).collect();
        let batches = Batches::new(tokens.into(), 32, 1).unwrap();
        let mut network = ExplicitNetwork::new(&backend);
        let mut rank =
            Rank { backend: &backend, network: &mut network, communicator: &Alone, at_once: usize::MAX };
        let pruned =
            calibrate::one_shot(&mut rank, &batches, &spec.prune, 32, 4, 0, 1, config.clone(), weights)
                .unwrap();
        assert!(pruned.config.num_params() <= config.num_params() / 2 && !pruned.events.is_empty());
        // A forward pass of the calibration set is what it paid for, and no more.
        let forward = efficientllm::schema::flops::forward_flops_per_token(&config, 32) * 1024.0;
        let paid = pruned.ledger.entry(Part::Saliency).flops;
        assert!(paid >= forward && paid < 1.5 * forward, "{paid} of {forward}");
    }

    const RULE_COPY: SaliencyRule = SaliencyRule {
        name: "",
        summary: "",
        source: "",
        hessian: Hessian::None,
        needs: &[],
        whole_groups: true,
        flops_per_parameter: 0,
        score: |evidence| evidence.draws(),
    };
}
