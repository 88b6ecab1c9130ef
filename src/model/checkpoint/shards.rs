//! `model.safetensors.index.json`: which files a large model is cut into.
//!
//! ```text
//! {"metadata": {…}, "weight_map": {"<tensor>": "<file beside the index>", …}}
//! ```
//!
//! Which tensors a file holds beside those that the index finds in it: see `stored`.
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{CheckpointError, read_json};

pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The file of each tensor that `index` names.
///
/// # Errors
/// An index that cannot be read or is no such JSON, and a file that is not named as one beside the index.
pub(super) fn weight_map(index: &Path) -> Result<BTreeMap<String, PathBuf>, CheckpointError> {
    let root = read_json(index)?;
    let fault = |key: String, found: String, expected: &str| CheckpointError::Config {
        path: index.to_path_buf(),
        key,
        found,
        expected: expected.into(),
    };
    let Some(map) = root.get("weight_map").and_then(Value::as_object).filter(|map| !map.is_empty()) else {
        let found = if root.get("weight_map").is_some() { "no such object" } else { "missing" };
        return Err(fault("weight_map".into(), found.into(), "an object of tensor names and file names"));
    };
    let mut files = BTreeMap::new();
    for (tensor, file) in map {
        // Nothing outside the model's folder is read.
        let plain = file.as_str().filter(|name| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
        });
        match plain {
            Some(name) => files.insert(tensor.clone(), index.with_file_name(name)),
            None => {
                let key = format!("weight_map.{tensor}");
                return Err(fault(key, file.to_string(), "the name of a file beside the index"));
            }
        };
    }
    Ok(files)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{load, save};
    use super::*;
    use crate::model::fixtures::{config, weights};
    use crate::tensor::CpuBackend;
    use std::fs;

    /// A saved model cut into two files, the first with the tensors of layer 0.
    pub(in super::super) fn cut(folder: &Path) {
        let whole = folder.join("model.safetensors");
        let bytes = fs::read(&whole).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut map = serde_json::Map::new();
        for (name, first) in [("part-1.safetensors", true), ("part-2.safetensors", false)] {
            let part: Vec<_> =
                file.tensors().into_iter().filter(|(name, _)| name.contains("layers.0.") == first).collect();
            map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name.into())));
            fs::write(folder.join(name), safetensors::serialize(part, None).unwrap()).unwrap();
        }
        fs::write(folder.join(INDEX_FILE), serde_json::json!({"weight_map": map}).to_string()).unwrap();
        fs::remove_file(whole).unwrap();
    }

    #[test]
    fn a_model_in_two_files_is_read_and_its_faults_are_named() {
        let backend = CpuBackend::<f32>::new();
        let config = config(11, 8, 4, false, &[(2, 1, 6), (2, 1, 6)]);
        let weights = weights::<f32>(&config, 1);
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        save(&backend, &folder, &config, &weights).unwrap();
        cut(&folder);
        assert_eq!(load(&backend, &folder).unwrap(), (config, weights));

        let message = || {
            let error = load(&backend, &folder).expect_err("loading must fail").to_string();
            error.replace(&format!("{}/", folder.display()), "")
        };
        let index = folder.join(INDEX_FILE);
        let sound = fs::read_to_string(&index).unwrap();
        for (text, expected) in [
            ("{}", "`weight_map` is missing, expected an object of tensor names and file names"),
            (
                r#"{"weight_map": {"a": "../secret"}}"#,
                r#"`weight_map.a` is "../secret", expected the name of a file beside the index"#,
            ),
            (
                r#"{"weight_map": {"a": "/etc/passwd"}}"#,
                r#"`weight_map.a` is "/etc/passwd", expected the name of a file beside the index"#,
            ),
            (
                r#"{"weight_map": {"a": 3}}"#,
                "`weight_map.a` is 3, expected the name of a file beside the index",
            ),
        ] {
            fs::write(&index, text).unwrap();
            assert_eq!(message(), format!("`{INDEX_FILE}`: {expected}"));
        }
        fs::write(&index, r#"{"weight_map": {"a": "part-2.safetensors"}}"#).unwrap();
        let expected = "`weight_map` says that tensor `a` is in `part-2.safetensors`, which does not have it";
        assert_eq!(message(), format!("`{INDEX_FILE}`: {expected}"));
        // What the map does not name is read where it stands.
        let norm = r#"{"weight_map": {"model.norm.weight": "part-2.safetensors"}}"#;
        fs::write(&index, norm).unwrap();
        let expected = "has no tensor `model.layers.0.input_layernorm.weight`, expected one of shape [8]";
        assert_eq!(message(), format!("`{INDEX_FILE}` {expected}"));
        let first = sound.replacen("part-2", "part-1", 1);
        fs::write(&index, first).unwrap();
        assert!(message().contains("is in `part-1.safetensors`, which does not have it"), "{}", message());
        let unnamed: serde_json::Map<String, Value> =
            serde_json::from_str::<Value>(&sound).unwrap()["weight_map"]
                .as_object()
                .unwrap()
                .clone()
                .into_iter()
                .filter(|(tensor, _)| !tensor.contains("layers.0.") || tensor.contains("up_proj"))
                .collect();
        fs::write(&index, serde_json::json!({"weight_map": unnamed}).to_string()).unwrap();
        fs::copy(folder.join("part-1.safetensors"), folder.join("part-2.safetensors")).unwrap();
        assert!(message().contains("that an earlier file of the model has too"), "{}", message());
    }

    /// A file that was written again in part: the old copies still stand in the other file.
    #[test]
    fn the_index_decides_between_two_copies() {
        let backend = CpuBackend::<f32>::new();
        let config = config(11, 8, 4, false, &[(2, 1, 6), (2, 1, 6)]);
        let weights = weights::<f32>(&config, 1);
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        save(&backend, &folder, &config, &weights).unwrap();
        cut(&folder);
        // part-2 gets a copy of layer 0 that is all zeros.
        let (one, two) = (folder.join("part-1.safetensors"), folder.join("part-2.safetensors"));
        let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let zeros = vec![0; first.len()];
        let of = |bytes: &'static [u8]| safetensors::SafeTensors::deserialize(bytes).unwrap().tensors();
        let mut all = of(second.leak());
        for (name, view) in of(first.leak()) {
            let data = &zeros.clone().leak()[..view.data().len()];
            let old =
                safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap();
            all.push((name, old));
        }
        fs::write(&two, safetensors::serialize(all, None).unwrap()).unwrap();
        assert_eq!(load(&backend, &folder).unwrap(), (config, weights));
    }
}
