//! Hugging Face folders against damage that keeps the syntax: every number, type and name of the safetensors header, the
//! index of shards and `config.json` may be wrong. Reading ends in a model or in an error that names the file, without a
//! panic and without memory for what a file only claims to hold.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::base::fuzz;
use crate::model::fixtures::{biased, config, weights};
use crate::tensor::CpuBackend;

/// Name and bytes of every file of a folder.
type Files = Vec<(std::ffi::OsString, Vec<u8>)>;

/// A small model on disk, in one file or in two, with biases or without.
fn folder(in_shards: bool, with_biases: bool) -> PathBuf {
    static FILES: [OnceLock<Files>; 4] = [const { OnceLock::new() }; 4];
    let files = FILES[2 * usize::from(in_shards) + usize::from(with_biases)].get_or_init(|| {
        let config = config(11, 8, 4, false, &[(2, 1, 6), (2, 1, 6)]);
        let config = if with_biases { biased(config) } else { config };
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        save(&CpuBackend::<f32>::new(), &folder, &config, &weights::<f32>(&config, 1)).unwrap();
        if in_shards {
            shards::tests::cut(&folder);
        }
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
    });
    // Every file is written anew: the case before may have damaged any.
    let folder = fuzz::folder().join(format!("model {in_shards} {with_biases}"));
    fs::create_dir_all(&folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    folder
}

/// Values that a writer with a defect, or a stranger, might put anywhere.
fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        (0u64..20).prop_map(|n| json!(n)),
        (50u32..64).prop_map(|bits| json!(1u64 << bits)),
        any::<f64>().prop_map(|x| json!(x)),
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!("x"),
            json!("../x"),
            json!("F64"),
            json!([]),
            json!([[8]]),
            json!([4294967296u64, 4294967296u64]),
            json!({}),
            json!({"rope_type": "yarn"}),
            json!({"AutoModel": "modeling.Model"}),
        ]),
    ]
}

/// The object's values, of all depths, by the way to them.
fn ways(value: &Value) -> Vec<String> {
    let own: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    own.iter()
        .flat_map(|(key, inner)| {
            [format!("/{key}")]
                .into_iter()
                .chain(ways(inner).into_iter().map(move |way| format!("/{key}{way}")))
        })
        .collect()
}

/// Puts `strange` at one of the places of `json`, or takes what is there away.
fn damage(json: &mut Value, place: prop::sample::Index, strange: Option<Value>) {
    let ways = ways(json);
    let way = &ways[place.index(ways.len())];
    match (strange, way.rsplit_once('/')) {
        (Some(strange), _) => *json.pointer_mut(way).unwrap() = strange,
        (None, Some((parent, key))) => {
            if let Some(Value::Object(map)) = json.pointer_mut(parent) {
                map.remove(&key.replace("~1", "/").replace("~0", "~"));
            }
        }
        (None, None) => {}
    }
}

/// Reads; an error must name the file at fault, `file` or one that it leads to.
fn read(folder: &Path) -> Result<(), String> {
    match load(&CpuBackend::<f32>::new(), folder) {
        Ok((config, weights)) => {
            let shapes = weights.map(|matrix| [matrix.rows, matrix.cols]);
            assert_eq!(shapes, Weights::shapes(&config));
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with(&format!("`{}/", folder.display())), "{text}");
            Err(text)
        }
    }
}

fn split(file: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(file).unwrap();
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..end]).unwrap(), bytes[end..].to_vec())
}

fn join(file: &Path, header: &Value, data: &[u8]) {
    let header = header.to_string().into_bytes();
    fs::write(file, [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(300, 6),
        rng_seed: proptest::test_runner::RngSeed::Fixed(23),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn strange_safetensors_headers(
        place in any::<prop::sample::Index>(), value in prop::option::of(strange()), biases: bool,
    ) {
        let folder = folder(false, biases);
        let file = folder.join(TENSORS_FILE);
        let (mut header, data) = split(&file);
        damage(&mut header, place, value);
        join(&file, &header, &data);
        let _ = read(&folder);
    }

    #[test]
    fn strange_configs(
        place in any::<prop::sample::Index>(), value in prop::option::of(strange()), biases: bool,
    ) {
        let folder = folder(false, biases);
        let file = folder.join(CONFIG_FILE);
        let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        damage(&mut json, place, value);
        fs::write(&file, json.to_string()).unwrap();
        let _ = read(&folder);
    }

    /// A config of a stranger's, whose tensors count: whatever it says, there is a model or an error.
    #[test]
    fn strange_configs_with_code(
        place in any::<prop::sample::Index>(), value in prop::option::of(strange()), biases: bool,
    ) {
        let folder = folder(false, biases);
        let file = folder.join(CONFIG_FILE);
        let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        json["model_type"] = "custom".into();
        json["auto_map"] = json!({"AutoModel": "modeling.Model"});
        damage(&mut json, place, value);
        fs::write(&file, json.to_string()).unwrap();
        let _ = read(&folder);
    }

    #[test]
    fn strange_indices(place in any::<prop::sample::Index>(), value in prop::option::of(strange())) {
        let folder = folder(true, false);
        let file = folder.join(shards::INDEX_FILE);
        let mut json: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        damage(&mut json, place, value);
        fs::write(&file, json.to_string()).unwrap();
        let _ = read(&folder);
    }

    /// Bytes of the index overwritten or cut off.
    #[test]
    fn damaged_indices(at in 0usize..1500, values in prop::collection::vec(any::<u8>(), 0..5), cut: bool) {
        let folder = folder(true, false);
        let file = folder.join(shards::INDEX_FILE);
        let mut bytes = fs::read(&file).unwrap();
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        if cut {
            bytes.truncate(at);
        }
        fs::write(&file, bytes).unwrap();
        let _ = read(&folder);
    }

    #[test]
    fn every_truncation_is_an_error(share in 0.0..1.0f64, in_shards: bool) {
        let folder = folder(in_shards, true);
        let file = folder.join(if in_shards { "part-2.safetensors" } else { TENSORS_FILE });
        let bytes = fs::read(&file).unwrap();
        let length = (share * bytes.len() as f64) as usize;
        fs::write(&file, &bytes[..length]).unwrap();
        let message = read(&folder).unwrap_err();
        prop_assert!(message.contains(&format!("({length} bytes) is not a sound safetensors file")), "{message}");
    }
}

/// Two tensors that share bytes, and bytes that no tensor has.
#[test]
fn overlapping_tensors_are_named() {
    let folder = folder(false, false);
    let file = folder.join(TENSORS_FILE);
    let (header, data) = split(&file);
    for (moved, by) in [("model.norm.weight", -4i64), ("model.norm.weight", 4)] {
        let mut header: Map<String, Value> = header.as_object().unwrap().clone();
        for end in 0..2 {
            let offset = header[moved]["data_offsets"][end].as_i64().unwrap();
            header[moved]["data_offsets"][end] = json!(offset + by);
        }
        join(&file, &header.into(), &data);
        let message = read(&folder).unwrap_err();
        assert!(
            message.contains("is not a sound safetensors file") && message.contains("offset"),
            "{message}"
        );
    }
}
