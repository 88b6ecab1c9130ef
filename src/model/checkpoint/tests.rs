use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::fixtures::{all_biased, biased, cases, config, weights, with_pairs};
use crate::tensor::CpuBackend;
use crate::tensor::cpu::Matrix;

fn f32s() -> CpuBackend<f32> {
    CpuBackend::new()
}

/// A folder `model` with a small uniform GQA model, in a temporary folder that lives as long as the first value.
fn saved() -> (tempfile::TempDir, std::path::PathBuf, ModelConfig, Weights<Matrix<f32>>) {
    let config = config(11, 8, 4, false, &[(2, 1, 6), (2, 1, 6)]);
    let weights = weights(&config, 1);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&f32s(), &folder, &config, &weights).unwrap();
    (parent, folder, config, weights)
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join(CONFIG_FILE);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// The message of the error that loading gives, without the temporary folder.
fn message(folder: &Path) -> String {
    let error = load(&f32s(), folder).expect_err("loading must fail");
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

/// Rewrites the safetensors file from `(name, dtype, shape, bytes)` changed by `edit`.
fn edit_tensors(folder: &Path, edit: impl Fn(&mut Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)>)) {
    let path = folder.join(TENSORS_FILE);
    let bytes = fs::read(&path).unwrap();
    let mut all: Vec<_> = safetensors::SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    edit(&mut all);
    let views = all.iter().map(|(name, dtype, shape, data)| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn f32_models_come_back_to_the_bit() {
    for (name, config, _, _) in cases() {
        let weights = weights::<f32>(&config, 1);
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        save(&f32s(), &folder, &config, &weights).unwrap();
        assert_eq!(load_config(&folder).unwrap(), config, "{name}");
        assert_eq!(load(&f32s(), &folder).unwrap(), (config, weights), "{name}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "{name}: leftovers");
    }
}

#[test]
fn f64_models_are_rounded_to_f32() {
    let config = config(11, 8, 4, true, &[(2, 1, 6)]);
    let weights = weights::<f64>(&config, 1);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&CpuBackend::<f64>::new(), &folder, &config, &weights).unwrap();
    let (_, back) = load(&CpuBackend::<f64>::new(), &folder).unwrap();
    let rounded = weights.map(|m| m.data.iter().map(|&x| f64::from(x as f32)).collect::<Vec<_>>());
    assert_eq!(back.map(|m| m.data.clone()), rounded);
}

#[test]
fn the_architecture_follows_from_the_shape() {
    for (config, model_type) in [
        (config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 6)]), "llama"),
        (config(11, 8, 4, true, &[(3, 1, 6), (3, 1, 6)]), "mistral"),
        (config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 5)]), "efficientllm"),
        (biased(config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 6)])), "qwen2"),
        (biased(config(11, 8, 4, true, &[(3, 1, 6), (3, 1, 6)])), "qwen2"),
        (biased(config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 5)])), "efficientllm"),
        (all_biased(config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 6)])), "llama"),
        (all_biased(config(11, 8, 4, true, &[(3, 1, 6), (3, 1, 6)])), "efficientllm"),
        (with_pairs(config(11, 8, 4, true, &[(2, 1, 6)]), &[&[1]]), "efficientllm"),
    ] {
        let path = Path::new("config.json");
        let text = config_json::to_text(&config, &EndTokens::default(), path).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["model_type"], model_type);
        assert_eq!(json.get("layer_shapes").is_some(), model_type == "efficientllm");
        assert_eq!(json.get("num_attention_heads").is_some(), model_type != "efficientllm");
        assert_eq!(config_json::from_text(text.as_bytes(), path).unwrap(), config);
    }
}

#[test]
fn a_taken_folder_is_refused_and_left_alone() {
    let (parent, folder, config, weights) = saved();
    let before = fs::read(folder.join(TENSORS_FILE)).unwrap();
    assert!(matches!(save(&f32s(), &folder, &config, &weights), Err(CheckpointError::Exists { .. })));
    assert_eq!(fs::read(folder.join(TENSORS_FILE)).unwrap(), before);
    let file = parent.path().join("file");
    fs::write(&file, "kept").unwrap();
    assert!(matches!(save(&f32s(), &file, &config, &weights), Err(CheckpointError::Exists { .. })));
    let nowhere = parent.path().join("missing").join("model");
    assert!(matches!(save(&f32s(), &nowhere, &config, &weights), Err(CheckpointError::Io { .. })));
    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    save(&f32s(), &empty, &config, &weights).unwrap();
}

#[test]
fn weights_that_are_not_of_the_config_are_not_written() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    let right = config(11, 8, 4, true, &[(2, 1, 6)]);
    let wide = config(11, 8, 4, true, &[(2, 1, 7)]);
    let untied = config(11, 8, 4, false, &[(2, 1, 6)]);
    let odd = config(11, 8, 3, true, &[(2, 1, 6)]);
    let try_save = |c: &ModelConfig, w: &ModelConfig| save(&f32s(), &folder, c, &weights(w, 1));
    assert!(matches!(try_save(&right, &wide), Err(CheckpointError::TensorShape { .. })));
    assert!(matches!(try_save(&right, &untied), Err(CheckpointError::UnexpectedTensor { .. })));
    assert!(matches!(try_save(&untied, &right), Err(CheckpointError::MissingTensor { .. })));
    let with_biases = biased(right.clone());
    assert!(matches!(try_save(&with_biases, &right), Err(CheckpointError::MissingTensor { .. })));
    assert!(matches!(try_save(&right, &with_biases), Err(CheckpointError::UnexpectedTensor { .. })));
    assert!(matches!(try_save(&odd, &odd), Err(CheckpointError::Config { .. })));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "leftovers");
}

#[test]
fn half_precision_is_read() {
    for (dtype, digits) in [(safetensors::Dtype::F16, 11), (safetensors::Dtype::BF16, 8)] {
        let (_parent, folder, _, weights) = saved();
        edit_tensors(&folder, |all| {
            for (_, t, _, data) in all {
                *t = dtype;
                *data = data
                    .chunks(4)
                    .flat_map(|b| {
                        let x = f32::from_le_bytes(b.try_into().unwrap());
                        match dtype {
                            safetensors::Dtype::F16 => half::f16::from_f32(x).to_le_bytes(),
                            _ => half::bf16::from_f32(x).to_le_bytes(),
                        }
                    })
                    .collect();
            }
        });
        let (_, back) = load(&f32s(), &folder).unwrap();
        for (found, expected) in back.leaves().into_iter().zip(weights.leaves()) {
            for (f, e) in found.data.iter().zip(&expected.data) {
                // Half a unit in the last place; below 2^-14 f16 is subnormal, hence atol 2^-25.
                assert!((f - e).abs() <= e.abs() * 2f32.powi(-digits) + 2f32.powi(-25), "{dtype:?} {f} {e}");
            }
        }
    }
}

#[test]
fn tensors_at_fault_are_named() {
    type Fault = (&'static str, fn(&Path), &'static str);
    let faults: [Fault; 5] = [
        (
            "missing",
            |f| edit_tensors(f, |all| all.retain(|t| t.0 != "model.layers.1.mlp.up_proj.weight")),
            "`model.safetensors` has no tensor `model.layers.1.mlp.up_proj.weight`, expected one of shape [6, 8]",
        ),
        (
            "unexpected",
            |f| {
                edit_tensors(f, |all| {
                    all.push((
                        "model.layers.2.bias".into(),
                        safetensors::Dtype::F32,
                        vec![1, 3],
                        vec![0; 12],
                    ));
                })
            },
            "`model.safetensors` has a tensor `model.layers.2.bias` of shape [1, 3], which the model of its config has not",
        ),
        (
            "transposed",
            |f| {
                edit_tensors(f, |all| {
                    let down = all.iter_mut().find(|t| t.0 == "model.layers.0.mlp.down_proj.weight");
                    down.unwrap().2.reverse();
                })
            },
            "`model.safetensors`: tensor `model.layers.0.mlp.down_proj.weight` has shape [6, 8], expected [8, 6]",
        ),
        (
            "norm as a matrix",
            |f| {
                edit_tensors(f, |all| {
                    all.iter_mut().find(|t| t.0 == "model.norm.weight").unwrap().2 = vec![1, 8]
                })
            },
            "`model.safetensors`: tensor `model.norm.weight` has shape [1, 8], expected [8]",
        ),
        (
            "integers",
            |f| {
                edit_tensors(f, |all| {
                    all.iter_mut().find(|t| t.0 == "lm_head.weight").unwrap().1 = safetensors::Dtype::I32
                })
            },
            "`model.safetensors`: tensor `lm_head.weight` has element type I32, expected F32, F16 or BF16",
        ),
    ];
    for (name, damage, expected) in faults {
        let (_parent, folder, _, _) = saved();
        damage(&folder);
        assert_eq!(message(&folder), expected, "{name}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let (_parent, folder, _, _) = saved();
    let path = folder.join(TENSORS_FILE);
    let sound = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(sound[..8].try_into().unwrap()) as usize;
    for length in [0, 3, 8, header / 2, header, header + 5, sound.len() - 1] {
        fs::write(&path, &sound[..length]).unwrap();
        let message = message(&folder);
        assert!(
            message.starts_with(&format!("`model.safetensors` ({length} bytes) is not a sound")),
            "{message}"
        );
    }
    fs::write(&path, [&sound[..], &[0]].concat()).unwrap();
    assert!(message(&folder).contains("is not a sound safetensors file"));
    // Header bombs: lengths far beyond the file and beyond the address space, deep nesting, an overflowing shape.
    let with_header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let bombs = [
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
        with_header(&"[".repeat(100_000)),
        with_header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,0]}}"#),
        with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#),
    ];
    for (i, bomb) in bombs.iter().enumerate() {
        fs::write(&path, bomb).unwrap();
        assert!(message(&folder).contains("is not a sound safetensors file"), "bomb {i}");
    }
    fs::remove_file(&path).unwrap();
    assert!(message(&folder).starts_with("`model.safetensors`: cannot read: "));
}

#[test]
fn config_faults_name_key_and_remedy() {
    type Fault = (fn(&mut Value), &'static str);
    let faults: [Fault; 14] = [
        (
            |c| c["hidden_size"] = json!("8"),
            r#"`hidden_size` is "8", expected an integer from 1 to 16777216"#,
        ),
        (|c| c["hidden_size"] = json!(0), "`hidden_size` is 0, expected an integer from 1 to 16777216"),
        (|c| c["vocab_size"] = json!(-3), "`vocab_size` is -3, expected an integer from 1 to 16777216"),
        (
            |c| c["num_hidden_layers"] = json!(1e9 as u64),
            "`num_hidden_layers` is 1000000000, expected an integer from 1 to 4096",
        ),
        (
            |c| drop(c.as_object_mut().unwrap().remove("intermediate_size")),
            "`intermediate_size` is missing, expected an integer from 1 to 16777216",
        ),
        (
            |c| c["head_dim"] = json!(5),
            "`head_dim` is 5, expected an even number, since RoPE rotates pairs (nearest: 6)",
        ),
        (
            |c| c["num_key_value_heads"] = json!(4),
            "`num_attention_heads` is 2, expected a multiple of num_key_value_heads = 4 (nearest: 4)",
        ),
        (
            |c| c["model_type"] = json!("gpt2"),
            r#"`model_type` is "gpt2", expected one of llama, mistral, qwen2, efficientllm"#,
        ),
        (
            |c| {
                c["model_type"] = json!("mistral");
                c["mlp_bias"] = json!(true);
            },
            "`mlp_bias` is true, expected false: of the stock classes only `llama` has such biases",
        ),
        (|c| c["hidden_act"] = json!("gelu"), r#"`hidden_act` is "gelu", expected one of silu"#),
        (
            |c| c["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0}),
            "`rope_scaling` is an object, expected null or of type `default`: scaled RoPE is not supported",
        ),
        (
            |c| c["partial_rotary_factor"] = json!(0.5),
            "`partial_rotary_factor` is 0.5, expected 1: RoPE on a part of each head is not supported",
        ),
        (
            |c| c["rope_parameters"] = json!({"rope_type": "default", "partial_rotary_factor": 0.25}),
            "`partial_rotary_factor` is 0.25, expected 1: RoPE on a part of each head is not supported",
        ),
        (
            |c| c["rms_norm_eps"] = json!(-1e-5),
            "`rms_norm_eps` is -0.00001, expected a finite number above 0",
        ),
    ];
    for (damage, expected) in faults {
        let (_parent, folder, _, _) = saved();
        edit_config(&folder, damage);
        assert_eq!(message(&folder), format!("`config.json`: {expected}"));
    }
    let (_parent, folder, _, _) = saved();
    fs::write(folder.join(CONFIG_FILE), "{\"hidden_size\": 8,\n oops}").unwrap();
    assert_eq!(message(&folder), "`config.json` is not valid JSON: key must be a string at line 2 column 2");
    fs::write(folder.join(CONFIG_FILE), "[]").unwrap();
    assert!(message(&folder).contains("expected an object"));
}

#[test]
fn layer_shapes_at_fault_are_named_by_index() {
    let config = config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 5)]);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&f32s(), &folder, &config, &weights(&config, 1)).unwrap();
    edit_config(&folder, |c| c["layer_shapes"][1]["intermediate_size"] = json!(0));
    let expected =
        "`config.json`: `layer_shapes[1].intermediate_size` is 0, expected an integer from 1 to 16777216";
    assert_eq!(message(&folder), expected);
    edit_config(&folder, |c| c["num_hidden_layers"] = json!(3));
    let expected = "`config.json`: `layer_shapes` is an array of 2 items, expected an array of 3 objects, one per layer (num_hidden_layers)";
    assert_eq!(message(&folder), expected);
}

/// Keys as other writers have them: nested RoPE constants (transformers 5), defaults left out (transformers 4).
#[test]
fn other_writers_dialects_are_read() {
    let (_parent, folder, expected, _) = saved();
    edit_config(&folder, |c| {
        let map = c.as_object_mut().unwrap();
        let theta = map.remove("rope_theta").unwrap();
        map.insert("rope_parameters".into(), json!({"rope_type": "default", "rope_theta": theta}));
        map.retain(|key, _| {
            !["head_dim", "attention_bias", "mlp_bias", "torch_dtype"].contains(&key.as_str())
        });
    });
    assert_eq!(load_config(&folder).unwrap(), expected);
}

/// A window that no text reaches changes nothing; a shorter one would (`max_position_embeddings` is 64 here).
#[test]
fn attention_windows_are_read_only_where_they_do_nothing() {
    let (_parent, folder, expected, _) = saved();
    edit_config(&folder, |c| c["model_type"] = json!("mistral"));
    for window in [json!(null), json!(64), json!(4096)] {
        edit_config(&folder, |c| c["sliding_window"] = window);
        assert_eq!(load_config(&folder).unwrap(), expected);
    }
    edit_config(&folder, |c| drop(c.as_object_mut().unwrap().remove("sliding_window")));
    assert_eq!(load_config(&folder).unwrap(), expected);
    for window in [json!(63), json!("none")] {
        edit_config(&folder, |c| c["sliding_window"] = window.clone());
        let expected =
            "expected null, or at least max_position_embeddings = 64: attention windows are not supported";
        assert_eq!(message(&folder), format!("`config.json`: `sliding_window` is {window}, {expected}"));
    }
}

/// A Qwen2 names a window, which counts only where it is switched on.
#[test]
fn windows_of_qwen2_count_where_they_are_on() {
    let config = biased(config(11, 8, 4, true, &[(2, 1, 6), (2, 1, 6)]));
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    save(&f32s(), &folder, &config, &weights(&config, 1)).unwrap();
    edit_config(&folder, |c| {
        c["sliding_window"] = json!(32);
        c["layer_types"] = json!(["full_attention", "full_attention"]);
    });
    assert_eq!(load_config(&folder).unwrap(), config);
    edit_config(&folder, |c| drop(c.as_object_mut().unwrap().remove("use_sliding_window")));
    assert_eq!(load_config(&folder).unwrap(), config);
    edit_config(&folder, |c| c["use_sliding_window"] = json!(true));
    let expected =
        "expected null, or at least max_position_embeddings = 64: attention windows are not supported";
    assert_eq!(message(&folder), format!("`config.json`: `sliding_window` is 32, {expected}"));
    edit_config(&folder, |c| c["layer_types"] = json!(["full_attention", "sliding_attention"]));
    assert_eq!(
        message(&folder),
        "`config.json`: `layer_types` is an array of 2 items, expected \"full_attention\" for every layer"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever bytes are overwritten, reading ends in a model or an error.
    #[test]
    fn no_damage_panics(at in 0usize..400, value in any::<[u8; 4]>(), in_config in any::<bool>()) {
        let (_parent, folder, _, _) = saved();
        let path = folder.join(if in_config { CONFIG_FILE } else { TENSORS_FILE });
        let mut bytes = fs::read(&path).unwrap();
        for (target, source) in bytes.iter_mut().skip(at).zip(value) {
            *target = source;
        }
        fs::write(&path, bytes).unwrap();
        let _ = load(&f32s(), &folder);
    }
}
