//! `model.safetensors.index.json`: which files a large model is cut into.
//!
//! ```text
//! {"metadata": {…}, "weight_map": {"<tensor>": "<file beside the index>", …}}
//! ```
//!
//! The files are read whole, and their tensors held against the model's: the index serves to find them.
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{CheckpointError, read_file};

pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";

/// The files that `index` names, each once, in order of their names.
///
/// # Errors
/// An index that cannot be read or is no such JSON, and a file that is not named as one beside the index.
pub(super) fn files(index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let root: Value = serde_json::from_slice(&read_file(index)?)
        .map_err(|source| CheckpointError::Json { path: index.to_path_buf(), source })?;
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
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        // Nothing outside the model's folder is read.
        let plain = file.as_str().filter(|name| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
        });
        match plain {
            Some(name) => names.insert(name),
            None => {
                let key = format!("weight_map.{tensor}");
                return Err(fault(key, file.to_string(), "the name of a file beside the index"));
            }
        };
    }
    Ok(names.into_iter().map(|name| index.with_file_name(name)).collect())
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
        let expected = "has no tensor `model.layers.0.input_layernorm.weight`, expected one of shape [8]";
        assert_eq!(message(), format!("`{INDEX_FILE}` {expected}"));
        fs::write(&index, &sound).unwrap();
        fs::copy(folder.join("part-1.safetensors"), folder.join("part-2.safetensors")).unwrap();
        assert!(message().contains("that an earlier file of the model has too"), "{}", message());
    }
}
