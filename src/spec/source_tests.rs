//! Corpora of every kind, and source models from disk.
use super::tests::{EXAMPLE, check, faults, line_of, with};
use super::*;

#[test]
fn files_that_are_not_there_are_faults_of_their_keys() {
    let text = with(
        "{ kind = \"world\", seed = 0, documents = 40_000 }",
        "{ kind = \"jsonl\", train = [\"a.jsonl\"], validation = [] }",
    );
    let found = faults(&text);
    assert!(found[0].contains("data.corpus.train[0]") && found[0].contains("`a.jsonl`"), "{found:?}");
    assert!(found[1].contains("data.corpus.validation") && found[1].contains("empty"), "{found:?}");
}

#[test]
fn a_parquet_corpus_has_a_column_of_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    let [train, validation] =
        ["zstd.parquet", "snappy.parquet"].map(|name| folder.join(name).display().to_string());
    let corpus = |rest: &str| {
        let table =
            format!("{{ kind = \"parquet\", train = [\"{train}\"], validation = [\"{validation}\"]{rest} }}");
        check(&with("{ kind = \"world\", seed = 0, documents = 40_000 }", &table))
    };
    let spec = |column: &str| CorpusSpec::Parquet {
        train: vec![train.clone()],
        validation: vec![validation.clone()],
        column: column.into(),
        bad_rows: BadRows::Refuse,
    };
    assert_eq!(corpus("").unwrap().base.data.corpus, spec("text"));
    assert_eq!(corpus(", column = \"question\"").unwrap().base.data.corpus, spec("question"));
    assert!(corpus(", colum = \"question\"").is_err());
}

#[test]
fn a_synthetic_corpus_has_a_size_by_name_and_keys_that_override_it() {
    let world = "{ kind = \"world\", seed = 0, documents = 40_000 }";
    let text = |keys: &str| with(world, &format!("{{ kind = \"synthetic\", documents = 100{keys} }}"));
    let size = |keys: &str| match check(&text(keys)).unwrap().base.data.corpus {
        CorpusSpec::Synthetic { seed: 0, documents: 100, size } => (size.entities, size.facts, size.forms),
        other => panic!("{other:?}"),
    };
    assert_eq!(size(""), (128, 5, 4));
    assert_eq!(size(", size = \"large\""), (2048, 12, 8));
    assert_eq!(size(", size = \"medium\", facts = 3"), (512, 3, 6));
    let fault = |keys: &str| {
        let found = faults(&text(keys));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].replace(&format!(" (line {})", line_of(&text(keys), "\"synthetic\"")), "")
    };
    assert_eq!(
        [
            fault(", size = \"larg\""),
            fault(", entities = 100"),
            fault(", forms = 1"),
            fault(", entites = 64")
        ],
        [
            "data.corpus.size: unknown value `larg` | did you mean `large`?",
            "data.corpus.entities: 100 is not a multiple of 8, the entities of a kind | nearest valid entities: 96, 104",
            "data.corpus.forms: 1 is out of range: 2 to 8 | nearest valid forms: 2",
            "data.corpus.entites: unknown key | did you mean `entities`?",
        ]
    );
    // A size can be an axis.
    let axis = text("") + "\n[axes]\n\"data.corpus.entities\" = [64, 256]\n";
    assert_eq!(check(&axis).unwrap().points.len(), 2);
}

/// The example with its source from disk.
fn from_disk(model: &str) -> String {
    let (start, end) = (EXAMPLE.find("[model]").unwrap(), EXAMPLE.find("[train]").unwrap());
    let text = format!("{}[source]\n{model}\n{}", &EXAMPLE[..start], &EXAMPLE[end..]);
    text.replace("\"total_tokens\"", "\"recovery_tokens\"")
        .replace("_total_tokens", "_recovery_tokens")
        .replace("kind = \"bpe\", vocab_size = 1024", "kind = \"model\"")
}

fn faults_with(text: &str, describe: Describe<'_>) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let faults = parse(text, "test", folder, describe).expect_err("the text was accepted");
    faults.iter().map(|f| format!("{f} | {}", f.hint.as_deref().unwrap_or_default())).collect()
}

#[test]
fn a_source_from_disk_brings_shape_and_tokenizer() {
    let model = check(EXAMPLE).unwrap().base.model;
    let describe = |path: &str| {
        let (path, files) = (path.to_string(), vec![path.to_string()]);
        Ok(ModelDescription { path, files, model: model.clone(), vocab_size: 321 })
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spec = parse(&from_disk("model = \"Cargo.toml\""), "test", folder, &describe).unwrap().base;
    assert_eq!((spec.model, spec.data.tokenizer), (model.clone(), TokenizerSpec::Model { vocab_size: 321 }));
    assert_eq!((spec.source.tokens, spec.source.per_seed, spec.source.stream_tokens()), (None, false, 0));

    let found = |text: &str| faults_with(text, &describe);
    let text = from_disk("model = \"Cargo.toml\"");
    let absent = found(&text.replace("Cargo.toml", "no.gguf"));
    assert!(
        absent[0].starts_with("source.model (line ") && absent[0].contains("nothing to read at `no.gguf`")
    );
    assert_eq!(absent.len(), 1, "{absent:?}");
    let both = found(&text.replace("[source]", "[source]\ntokens = 819_200"));
    assert!(both[0].contains("both `tokens` and `model`"), "{both:?}");
    let shaped = found(&text.replace("[source]", "[model]\nhidden_size = 3\n[source]"));
    assert!(shaped[0].contains("source.model has a shape of its own"), "{shaped:?}");
    let other = found(&text.replace("kind = \"model\"", "kind = \"bpe\", vocab_size = 300"));
    assert!(other[0].contains("source.model brings its own tokenizer"), "{other:?}");
    let seeds = found(&text.replace("[source]", "[source]\nper_seed = true"));
    assert!(seeds[0].contains("all seeds share a source from disk"), "{seeds:?}");
    // What looks like a hint in the middle of a name is a part of the message all the same.
    let refused = |_: &str| Err(NoSource("`a\nhint: b` is a cat\nhint: take a Llama".to_string()));
    let refused = faults_with(&text, &refused);
    assert!(
        refused[0].ends_with(": `a\nhint: b` is a cat\nhint: take a Llama | ") && refused.len() == 1,
        "{refused:?}"
    );

    assert!(faults(&with("kind = \"bpe\", vocab_size = 1024", "kind = \"model\""))[0].contains("not given"));
    assert!(faults(&with("[source]", "[source]\ntokens_seen = 5"))[0].contains("which is not given"));
}

/// A folder with these files, and the example with its corpus in their place.
fn on_files(names: &[&str], corpus: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| std::fs::write(folder.path().join(name), "a").unwrap());
    let section = with("corpus = { kind = \"world\", seed = 0, documents = 40_000 }\n", "");
    (folder, section.replacen("[model]", &format!("{corpus}\n[model]"), 1))
}

const MIXTURE: &str = "[data.corpus]
kind = \"mixture\"
weights = [7, 3.0]
[[data.corpus.sources]]
kind = \"text\"
train = [\"a.txt\"]
validation = [\"b.txt\"]
[[data.corpus.sources]]
kind = \"jsonl\"
train = [\"c.jsonl\"]
validation = [\"d.jsonl\"]
";
const MIXED: [&str; 4] = ["a.txt", "b.txt", "c.jsonl", "d.jsonl"];

#[test]
fn a_mixture_has_a_weight_for_each_source() {
    let (folder, text) = on_files(&MIXED, MIXTURE);
    let corpus = parse(&text, "test", folder.path(), &no_model).unwrap().base.data.corpus;
    assert_eq!(corpus.weights(), [0.7, 0.3]);
    assert_eq!(corpus.sources()[0].train_files(), [folder.path().join("a.txt").display().to_string()]);
    assert!(matches!(corpus.sources()[1], CorpusSpec::Jsonl { field, .. } if field == "text"));
    // Weights can be an axis.
    let axis = |values: &str| {
        let text = format!("{text}\n[axes]\n\"data.corpus.weights\" = {values}\n");
        parse(&text, "test", folder.path(), &no_model)
    };
    assert_eq!(axis("[[0.7, 0.3], [0.5, 0.5]]").unwrap().points[1].values, ["0.5+0.5"]);
    assert!(axis("[[0.7, 0.3], [0.5]]").is_err());
}

#[test]
fn faults_of_mixtures_name_source_weight_and_file() {
    let mut messages = Vec::new();
    let mut expect = |from: &str, to: &str| {
        assert!(MIXTURE.contains(from), "{from}");
        let (folder, text) = on_files(&MIXED, &MIXTURE.replacen(from, to, 1));
        for fault in parse(&text, "test", folder.path(), &no_model).expect_err("a fault") {
            let hint = fault.hint.as_ref().map_or(String::new(), |hint| format!(" | {hint}"));
            messages.push(format!("{fault}{hint}").replace(&folder.path().display().to_string(), "<folder>"));
        }
    };
    expect("[7, 3.0]", "[7, 0]");
    expect("[7, 3.0]", "[7, -3.0]");
    expect("[7, 3.0]", "[nan, 3.0]");
    expect("[7, 3.0]", "[inf, 3.0]");
    expect("[7, 3.0]", "[7]");
    expect("[7, 3.0]", "[]");
    expect("weights = [7, 3.0]", "");
    expect("kind = \"jsonl\"", "kind = \"world\"\ndocuments = 10");
    expect("kind = \"jsonl\"", "kind = \"mixture\"");
    expect("kind = \"jsonl\"", "kind = \"jsonl\"\nweight = 3");
    expect("train = [\"c.jsonl\"]", "train = []");
    expect("validation = [\"d.jsonl\"]", "");
    expect("validation = [\"d.jsonl\"]", "validation = [\"a.txt\"]");
    expect("train = [\"a.txt\"]", "train = [\"./b.txt\"]");
    let (folder, text) = on_files(&MIXED, &MIXTURE[..MIXTURE.find("[[").unwrap()]);
    messages.push(parse(&text, "test", folder.path(), &no_model).expect_err("a fault")[0].to_string());
    let both = "corpus = { kind = \"text\", train = [\"a.txt\", \"b.txt\"], validation = [\"b.txt\"] }\nshuffle = \"document\"";
    let (folder, text) = on_files(&MIXED, both);
    let found = parse(&text, "test", folder.path(), &no_model).expect_err("faults");
    messages.extend(
        found.iter().map(|fault| fault.to_string().replace(&folder.path().display().to_string(), "<folder>")),
    );
    let text =
        with("context_length = 128", "context_length = 128\nshuffle = \"documents\"\npacking = \"separate\"");
    messages.extend(faults(&text));
    insta::assert_snapshot!(messages.join("\n"));
}
