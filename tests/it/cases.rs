//! Situations from public failure reports, each rebuilt small: models, tokenizers, corpora and experiment files as other
//! programs leave them. What the reference reads is read; what nobody can read is refused by its name.
use super::cli::Desk;
use super::eval::{desk, model};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const LFS: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 269060552\n";
const HTML: &str = "<!DOCTYPE html>\n<html><head><title>404: Not Found</title></head></html>\n";

/// `eval` of three items with the model at `place`.
fn eval(desk: &Desk, place: &str) -> String {
    let out = format!("out of {}", place.replace('/', " "));
    desk.show(&[
        "eval",
        "--model",
        place,
        "--data",
        "data",
        "--tasks",
        "arc_easy",
        "--out",
        &out,
        "--threads",
        "1",
    ])
}

/// What `eval` wrote of every item; panics where it failed.
fn items(desk: &Desk, place: &str) -> String {
    let shown = eval(desk, place);
    assert!(shown.contains("exit code 0"), "{shown}");
    fs::read_to_string(desk.path().join(format!("out of {}", place.replace('/', " "))).join("items.csv"))
        .unwrap()
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// The tensors of a model's file, by name, shape and f32 values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn edit_tensors(folder: &Path, change: impl FnOnce(&mut Tensors)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let mut all: Tensors =
        file.tensors().into_iter().map(|(n, view)| (n, view.shape().to_vec(), values(view.data()))).collect();
    change(&mut all);
    let data: Vec<Vec<u8>> =
        all.iter().map(|(.., values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = all.iter().zip(&data).map(|((name, shape, _), data)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.clone(), view)
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_tied_head_that_is_stored_too_is_the_embedding_unless_it_differs() {
    let desk = desk();
    let plain = items(&desk, "model");
    for (name, factor) in [("same", 1.0), ("other", -1.0)] {
        model(&desk, name, 1);
        edit_tensors(&desk.path().join(name), |all| {
            let embed = all.iter().find(|(name, ..)| name == "model.embed_tokens.weight").unwrap().clone();
            all.push(("lm_head.weight".into(), embed.1, embed.2.iter().map(|x| x * factor).collect()));
        });
    }
    assert_eq!(items(&desk, "same"), plain);
    assert_ne!(items(&desk, "other"), plain);
    let shown = eval(&desk, "other");
    assert!(shown.contains("`lm_head.weight` is stored and differs from the embedding"), "{shown}");
}

#[test]
fn tensors_count_where_the_config_lags_or_brings_code() {
    let desk = desk();
    let plain = items(&desk, "model");
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 4] = [
        (
            "heads",
            |c| {
                c["num_attention_heads"] = json!(8);
                c["num_key_value_heads"] = json!(4);
            },
            "2 of 2 layers are of another shape than config.json says",
        ),
        ("width", |c| c["intermediate_size"] = json!(64), "width 40 by the tensors"),
        (
            "vocabulary",
            |c| c["vocab_size"] = json!(300),
            "`vocab_size` is 300 in config.json and 257 by the tensors",
        ),
        (
            "code",
            |c| {
                c["model_type"] = json!("sparse_llama");
                c["auto_map"] = json!({"AutoModelForCausalLM": "modeling_sparse.SparseForCausalLM"});
                c["architectures"] = json!(["SparseForCausalLM"]);
                c.as_object_mut().unwrap().remove("intermediate_size");
                c.as_object_mut().unwrap().remove("tie_word_embeddings");
            },
            "names code of its own (`auto_map`), which is not run",
        ),
    ];
    for (name, change, told) in changes {
        model(&desk, name, 1);
        edit(&desk.path().join(name).join("config.json"), change);
        assert_eq!(items(&desk, name), plain, "{name}");
        let shown = eval(&desk, name);
        assert!(shown.contains(told), "{shown}");
    }
    for (key, value) in
        [("layer_sharing", json!(true)), ("logits_scaling", json!(8.0)), ("model_type", json!("gemma"))]
    {
        model(&desk, key, 1);
        edit(&desk.path().join(key).join("config.json"), |c| {
            c["auto_map"] = json!({"AutoConfig": "x.Y"});
            c[key] = value;
        });
        let shown = eval(&desk, key);
        assert!(shown.contains("exit code 2") && shown.contains(&format!("`{key}` is ")), "{shown}");
    }
}

#[test]
fn what_stands_in_the_place_of_a_file_is_named() {
    let desk = desk();
    for (text, told) in [(LFS, "a Git LFS pointer"), (HTML, "a page of HTML")] {
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            let name = format!("broken {file}");
            let folder = desk.path().join(&name);
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
            model(&desk, &name, 1);
            fs::write(folder.join(file), text).unwrap();
            let shown = eval(&desk, &name);
            assert!(shown.contains("exit code 2") && shown.contains(told) && shown.contains(file), "{shown}");
        }
        fs::write(desk.path().join("pointer.gguf"), text).unwrap();
        let shown = eval(&desk, "pointer.gguf");
        assert!(shown.contains("exit code 2") && shown.contains(told), "{shown}");
    }
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), LFS).unwrap();
    let shown = eval(&desk, "model");
    assert!(shown.contains("exit code 2") && shown.contains("a Git LFS pointer"), "{shown}");
}

#[test]
fn weights_that_are_not_finite_are_the_fault_of_their_tensor() {
    let desk = desk();
    model(&desk, "nan", 1);
    edit_tensors(&desk.path().join("nan"), |all| {
        all.iter_mut().find(|(name, ..)| name == "model.layers.1.mlp.up_proj.weight").unwrap().2[17] =
            f32::NAN;
    });
    for shown in [eval(&desk, "nan"), desk.show(&["export", "nan", "--out", "out"])] {
        let told = "`nan/model.safetensors`: tensor `model.layers.1.mlp.up_proj.weight` holds 1 value that is not finite";
        assert!(shown.contains("exit code 2") && shown.contains(told), "{shown}");
    }
    // Beyond F16, a matrix is stored in F32 and named.
    edit_tensors(&desk.path().join("nan"), |all| {
        all.iter_mut().find(|(name, ..)| name == "model.layers.1.mlp.up_proj.weight").unwrap().2[17] = 1e5;
    });
    let shown = desk.show(&["export", "nan", "--out", "large.gguf"]);
    assert!(shown.contains("exit code 0") && shown.contains("(65504): blk.1.ffn_up.weight"), "{shown}");
    assert!(eval(&desk, "large.gguf").contains("exit code 0"));
}

/// A model whose end of text has a name of its own, which the files beside the tokenizer give.
#[test]
fn any_name_of_the_end_of_text_will_do_and_travels_with_the_export() {
    let desk = desk();
    let plain = items(&desk, "model");
    model(&desk, "named", 1);
    let folder = desk.path().join("named");
    let tokenizer = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer.replace("<|endoftext|>", "<|fin|>")).unwrap();
    let shown = eval(&desk, "named");
    assert!(shown.contains("exit code 2") && shown.contains("no end-of-document token"), "{shown}");
    let beside = [
        ("tokenizer_config.json", r#"{"eos_token": {"content": "<|fin|>"}, "chat_template": "{{ x }}"}"#),
        ("special_tokens_map.json", r#"{"eos_token": "<|fin|>"}"#),
        ("generation_config.json", r#"{"eos_token_id": [0, 7], "temperature": 0.5}"#),
    ];
    for (file, text) in beside {
        fs::write(folder.join(file), text).unwrap();
        assert_eq!(items(&desk, "named"), plain, "{file}");
        fs::remove_dir_all(desk.path().join("out of named")).unwrap();
        fs::remove_file(folder.join(file)).unwrap();
    }
    for (file, text) in beside {
        fs::write(folder.join(file), text).unwrap();
    }
    edit(&folder.join("config.json"), |c| c["bos_token_id"] = json!(9));
    let shown = desk.show(&["export", "named", "--out", "deep/er/hf"]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(desk.path().join("deep/er/hf").join(file)).unwrap()).unwrap()
    };
    for file in ["config.json", "generation_config.json"] {
        let json = read(file);
        assert_eq!((&json["bos_token_id"], &json["eos_token_id"]), (&json!(9), &json!([0, 7])), "{file}");
    }
    assert_eq!(read("generation_config.json")["temperature"], 0.5);
    let tokenizer = read("tokenizer_config.json");
    assert_eq!(
        (&tokenizer["tokenizer_class"], &tokenizer["chat_template"]),
        (&json!("PreTrainedTokenizerFast"), &json!("{{ x }}"))
    );
    assert_eq!(tokenizer["eos_token"]["content"], "<|fin|>");
    assert_eq!(items(&desk, "deep/er/hf"), plain);
    // There and back by a GGUF file.
    assert!(desk.show(&["export", "named", "--out", "new/named.gguf"]).contains("exit code 0"));
    assert!(desk.show(&["export", "new/named.gguf", "--out", "back"]).contains("exit code 0"));
    let json: Value =
        serde_json::from_slice(&fs::read(desk.path().join("back/config.json")).unwrap()).unwrap();
    assert_eq!(json["eos_token_id"], json!([0, 7]));
}

#[cfg(unix)]
#[test]
fn exports_can_be_read_by_others_and_lie_anywhere() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let desk = desk();
    let plain = desk.path().join("plain");
    fs::write(&plain, "x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o666;
    let odd = desk.path().join(std::ffi::OsStr::from_bytes(b"odd \xff"));
    fs::create_dir(&odd).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(desk.path().join("model").join(file), odd.join(file)).unwrap();
    }
    let out = odd.join("hf");
    let output = desk.command(&["export"]).arg(&odd).arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in fs::read_dir(&out).unwrap().flatten() {
        assert_eq!(mode(&file.path()), mode(&plain), "{}", file.path().display());
    }
    assert_eq!(mode(&out), mode(desk.path().join("data").as_path()));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let desk = desk();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        for device in [true, false] {
            let name = format!("{file} {device}");
            model(&desk, &name, 1);
            let path = desk.path().join(&name).join(file);
            fs::remove_file(&path).unwrap();
            match device {
                true => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                false => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
            }
            let start = Instant::now();
            let shown = eval(&desk, &name);
            assert!(shown.contains("exit code 2"), "{shown}");
            assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
        }
    }
    // Benchmarks are hashed by `plan`, whatever form they have.
    let folder = desk.experiment("corpus", CORPUS);
    for file in ["train.jsonl", "valid.jsonl"] {
        fs::write(folder.join(file), rows(&["\"One.\""])).unwrap();
    }
    let path = desk.path().join("data/arc_easy/test.parquet");
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let start = Instant::now();
    let shown = desk.show(&["plan", "experiments/corpus"]);
    assert!(shown.contains("exit code 2") && shown.contains("a named pipe"), "{shown}");
    assert!(start.elapsed() < Duration::from_secs(20), "plan took {:?}", start.elapsed());
}

#[test]
fn a_token_beyond_the_embedding_is_a_fault_of_the_text_that_has_it() {
    let desk = desk();
    let plain = items(&desk, "model");
    model(&desk, "padded", 1);
    edit(&desk.path().join("padded/tokenizer.json"), |json| {
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": 257, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }));
    });
    assert_eq!(items(&desk, "padded"), plain);
    let shown = desk.show(&["export", "padded", "--out", "padded.gguf"]);
    assert!(shown.contains("exit code 0"), "{shown}");
    let file = desk.path().join("data/arc_easy/test.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"Why?\"", "\"Why <pad>?\"")).unwrap();
    fs::remove_dir_all(desk.path().join("out of padded")).unwrap();
    let shown = eval(&desk, "padded");
    assert!(!shown.contains("exit code 0") && shown.contains("`<pad>` (id 257)"), "{shown}");
}

#[test]
fn folders_and_files_that_are_no_model_say_what_to_name() {
    let desk = desk();
    fs::create_dir(desk.path().join("stories")).unwrap();
    for file in ["stories260K.bin", "tok512.bin"] {
        fs::write(desk.path().join("stories").join(file), "x").unwrap();
    }
    let later = [&0x616b_3432_u32.to_le_bytes()[..], &1i32.to_le_bytes(), &[0; 300]].concat();
    fs::write(desk.path().join("v1.bin"), later).unwrap();
    fs::create_dir(desk.path().join("models")).unwrap();
    model(&desk, "models/inner", 1);
    model(&desk, "torch", 1);
    fs::rename(desk.path().join("torch/model.safetensors"), desk.path().join("torch/pytorch_model.bin"))
        .unwrap();
    model(&desk, "slow", 1);
    fs::rename(desk.path().join("slow/tokenizer.json"), desk.path().join("slow/vocab.json")).unwrap();
    for (place, told) in [
        ("stories", "the folder holds a llama2.c file: name `stories/stories260K.bin`"),
        ("v1.bin", "a llama2.c export of version 1 (ak42), which is not read"),
        ("torch", "`pytorch_model.bin`, which is not read"),
        ("slow", "`vocab.json` is of another form"),
        ("model/model.safetensors", "name the folder: `model`"),
        ("models", "did you mean `models/inner`?"),
    ] {
        let shown = eval(&desk, place);
        assert!(shown.contains("exit code 2") && shown.contains(told), "{shown}");
    }
}

pub(super) const CORPUS: &str = r#"
question = "Is the corpus read?"
seeds = [1]

[engine]
kind = "cpu"
workers = 1

[data]
corpus = { kind = "jsonl", train = ["train.jsonl"], validation = ["valid.jsonl"] }
tokenizer = { kind = "bpe", vocab_size = 260 }
context_length = 16

[model]
hidden_size = 16
num_layers = 1
num_heads = 2
num_kv_heads = 1
intermediate_size = 24

[source]
tokens = 256

[train]
batch_tokens = 64
micro_batch = 4
learning_rate = 1e-3

[prune]
target = { ratio = 0.8 }
schedule = { kind = "interval", steps = 1 }
calibration_tokens = 64

[budget]
tokens = 256

[eval]
tasks = ["arc_easy"]
items = 3
folder = "../../data"
validation_tokens = 64

[[arms]]
arm = "source"
"#;

fn rows(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{{\"text\": {text}}}\n")).collect()
}

#[test]
fn plan_finds_what_cannot_be_read_and_bad_rows_can_be_left_out() {
    let desk = desk();
    let folder = desk.experiment("corpus", CORPUS);
    let sound: Vec<String> = (0..40).map(|i| format!("\"Document {i} has some words of text.\"")).collect();
    let sound: Vec<&str> = sound.iter().map(String::as_str).collect();
    let write = |file: &str, bytes: &[u8]| fs::write(folder.join(file), bytes).unwrap();
    write("train.jsonl", rows(&sound).as_bytes());
    write("valid.jsonl", rows(&sound[..20]).as_bytes());
    let plan = |more: &[&str]| desk.show(&[&["plan", "experiments/corpus"], more].concat());
    let plain = plan(&[]);
    assert!(plain.contains("exit code 0"), "{plain}");
    write("train.jsonl", format!("\u{feff}{}", rows(&sound)).as_bytes());
    assert!(plan(&[]).contains("exit code 0"));

    let null = rows(&[&sound[..3], &["null"], &sound[3..]].concat());
    let half = rows(&[&sound[..3], &["\"\\ud83d\""], &sound[3..]].concat());
    for (file, text, told) in [
        ("train.jsonl", null.as_str(), "line 4: field `text` is null, not text"),
        ("valid.jsonl", null.as_str(), "line 4: field `text` is null, not text"),
        ("train.jsonl", half.as_str(), "line 4, column 1: broken JSON: field `text`"),
        ("train.jsonl", LFS, "a Git LFS pointer"),
    ] {
        let before = fs::read(folder.join(file)).unwrap();
        write(file, text.as_bytes());
        let shown = plan(&[]);
        assert!(shown.contains("exit code 2") && shown.contains(told) && shown.contains(file), "{shown}");
        write(file, &before);
    }
    write("train.jsonl", null.as_bytes());
    let shown = plan(&["--set", "data.corpus.bad_rows=skip"]);
    assert!(shown.contains("exit code 0") && shown.contains("1 bad rows are left out"), "{shown}");
    let ran = desk.show(&["run", "experiments/corpus", "--set", "data.corpus.bad_rows=skip", "--quiet"]);
    assert!(
        ran.contains("exit code 0") && ran.contains("1 bad rows of the training text are left out"),
        "{ran}"
    );
    write("train.jsonl", rows(&sound).as_bytes());
    fs::write(desk.path().join("data/arc_easy/test.jsonl"), HTML).unwrap();
    let shown = plan(&[]);
    assert!(shown.contains("exit code 2") && shown.contains("a page of HTML"), "{shown}");
}

#[test]
fn a_text_without_separators_is_told_and_planned() {
    let desk = desk();
    let text = CORPUS.replace(
        "kind = \"jsonl\", train = [\"train.jsonl\"], validation = [\"valid.jsonl\"]",
        "kind = \"text\", train = [\"train.txt\"], validation = [\"valid.txt\"]",
    );
    let folder = desk.experiment("text", &text);
    fs::write(folder.join("train.txt"), "One sentence after another. ".repeat(60_000)).unwrap();
    fs::write(folder.join("valid.txt"), "One sentence after another. ".repeat(60)).unwrap();
    let shown = desk.show(&["plan", "experiments/text"]);
    assert!(shown.contains("exit code 0") && shown.contains("separated by `<|endoftext|>`"), "{shown}");
}

#[test]
fn messages_of_an_experiment_file_name_what_was_meant() {
    let desk = desk();
    let told = |from: &str, to: &str| {
        assert!(CORPUS.contains(from));
        let folder = desk.experiment("messages", &CORPUS.replacen(from, to, 1));
        fs::write(folder.join("train.jsonl"), "").unwrap();
        fs::write(folder.join("valid.jsonl"), "").unwrap();
        let shown = desk.show(&["plan", "experiments/messages"]);
        assert!(shown.contains("exit code 2"), "{shown}");
        shown
    };
    for (from, to, expected) in [
        ("\"arc_easy\"", "\"siqa\"", "did you mean `social_iqa`?"),
        ("[prune]", "[pruning]", "did you mean `prune`?"),
        ("tasks = [\"arc_easy\"]", "tasks = \"arc_easy\"", "write `tasks = [\"arc_easy\"]`"),
        (
            "[[arms]]",
            "[axes]\n\"prune.saliency\" = \"taylor1, random\"\n\n[[arms]]",
            "write `\"prune.saliency\" = [\"taylor1\", \"random\"]`",
        ),
        ("workers = 1", "workers = 99999999999999999999", "99999999999999999999 is too large a number"),
    ] {
        let shown = told(from, to);
        assert!(shown.contains(expected), "{expected} in\n{shown}");
        assert!(!shown.contains("9223372036854775807"), "{shown}");
    }
    let utf16: Vec<u8> = CORPUS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let folder = desk.experiment("utf16", "");
    fs::write(folder.join("experiment.toml"), [b"\xff\xfe".to_vec(), utf16].concat()).unwrap();
    let shown = desk.show(&["plan", "experiments/utf16"]);
    assert!(shown.contains("exit code 2") && shown.contains("UTF-16"), "{shown}");
    // Many keys that nobody knows: some are told, and nothing stalls.
    let many: String = (0..200_000).map(|i| format!("key{i} = {i}\n")).collect();
    desk.experiment("many", &(many + CORPUS));
    let start = Instant::now();
    let shown = desk.show(&["plan", "experiments/many"]);
    assert!(
        shown.contains("exit code 2") && shown.contains("more unknown keys"),
        "{}",
        &shown[..2000.min(shown.len())]
    );
    assert!(shown.len() < 20_000 && start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
