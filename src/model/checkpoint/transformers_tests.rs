//! Exported models load in `transformers` and give the same logits: uniform ones unchanged, others padded with zeros.
//!
//! Runs where a Python with torch and transformers is found: `$EFFICIENTLLM_PYTHON`, else `.venv/bin/python` in the
//! crate's folder.
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{EndTokens, ModelCard, export_hf};
use crate::model::fixtures::{biased, config, tokens, weights};
use crate::model::reference;
use crate::tensor::CpuBackend;

const SCRIPT: &str = r#"
import json, sys
import torch
from transformers import AutoModelForCausalLM
folder, tokens = sys.argv[1], json.loads(sys.argv[2])
model, info = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, output_loading_info=True)
faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
with torch.no_grad():
    logits = model(torch.tensor(tokens)).logits
print(json.dumps({"class": type(model).__name__, "faults": faults, "logits": logits.flatten().tolist()}))
"#;

fn python() -> Option<PathBuf> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let python = std::env::var_os("EFFICIENTLLM_PYTHON").map_or(local, PathBuf::from);
    let works = Command::new(&python).args(["-c", "import torch, transformers"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let reason = format!(
        "{} has no torch and transformers (set EFFICIENTLLM_PYTHON to one that has)",
        python.display()
    );
    crate::base::requirement::skip("python", &reason);
    None
}

#[test]
fn models_load_in_transformers() {
    let Some(python) = python() else { return };
    let (sequences, length) = (2, 9);
    for (config, class) in [
        (config(37, 24, 6, true, &[(4, 2, 20), (4, 2, 20)]), "LlamaForCausalLM"),
        (config(37, 21, 6, false, &[(3, 3, 11), (3, 3, 11)]), "LlamaForCausalLM"),
        (config(37, 22, 4, true, &[(3, 1, 11), (3, 1, 11)]), "MistralForCausalLM"),
        (config(37, 24, 6, true, &[(4, 2, 20), (2, 1, 7)]), "LlamaForCausalLM"),
        (config(37, 20, 6, false, &[(4, 2, 5), (3, 3, 9), (3, 1, 2)]), "MistralForCausalLM"),
        (biased(config(37, 24, 6, true, &[(4, 2, 20), (4, 2, 20)])), "Qwen2ForCausalLM"),
        (biased(config(37, 22, 4, false, &[(3, 1, 11), (3, 1, 11)])), "Qwen2ForCausalLM"),
        (biased(config(37, 24, 6, true, &[(4, 2, 20), (2, 1, 7)])), "Qwen2ForCausalLM"),
    ] {
        let weights = weights::<f32>(&config, 5);
        let ids = tokens(sequences * length, config.vocab_size, 6);
        let expected = reference::logits(&config, &weights, &ids, sequences);
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        export_hf(
            &CpuBackend::new(),
            &folder,
            &config,
            &weights,
            &EndTokens::default(),
            &[],
            &ModelCard::default(),
        )
        .unwrap();

        let rows: Vec<&[u32]> = ids.chunks(length).collect();
        let output = Command::new(&python)
            .args(["-c", SCRIPT])
            .arg(&folder)
            .arg(serde_json::to_string(&rows).unwrap())
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["class"], class);
        assert_eq!(answer["faults"], serde_json::json!({}), "missing, unexpected or mismatched tensors");
        let logits = answer["logits"].as_array().unwrap();
        assert_eq!(logits.len(), expected.data.len());
        for (found, expected) in logits.iter().zip(&expected.data) {
            let (found, expected) = (found.as_f64().unwrap(), f64::from(*expected));
            // atol 1e-4: rounding of f32 over two layers, logits of order 1 to 10.
            assert!((found - expected).abs() <= 1e-4, "{class}: {found} against {expected}");
        }
    }
}
