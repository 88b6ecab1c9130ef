//! Corpora prepared and read back: what stands in the folder is the documents, whatever their source and their shards.
use super::super::corpus::read_text;
use super::super::documents::Unwatched;
use super::super::world::World;
use super::*;
use crate::spec::Shuffle;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

fn world(documents: usize, context_length: usize) -> DataSpec {
    DataSpec {
        corpus: CorpusSpec::World { seed: 0, documents },
        tokenizer: TokenizerSpec::Bpe { vocab_size: 400 },
        context_length,
        shuffle: Shuffle::Windows,
        packing: Packing::Crossing,
    }
}

/// What [`prepare`] makes of `spec`; the mapped files outlive their folder.
fn prepared(spec: &DataSpec) -> Result<Prepared, DataError> {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(spec, None, folder.path(), &Unwatched)?;
    Prepared::open(folder.path())
}

fn all(tokens: &Tokens) -> Vec<u32> {
    let mut all = Vec::new();
    tokens.read(0..tokens.len(), &mut all);
    all
}

#[test]
fn the_world_is_prepared_reproducibly() {
    let data = prepared(&world(300, 32)).expect("data");
    let fingerprint = |n| prepared(&world(n, 32)).expect("data").header.fingerprint;
    assert_eq!(data.header.fingerprint, fingerprint(300));
    assert_ne!(data.header.fingerprint, fingerprint(301));
    let t = &data.tokenizer;
    let [train, validation] = &data.sources[0];
    assert_eq!(all(train).iter().filter(|&&id| id == t.eos_id()).count(), 300);
    assert_eq!((train.num_documents(), data.header.sources[0].train.documents), (300, 300));
    let bytes: u64 = all(validation).iter().map(|&id| u64::from(t.num_bytes(id))).sum();
    assert_eq!(bytes, data.header.sources[0].validation.text_bytes);
    let text = t.decode(&all(train)).expect("text");
    let first = World::new(0).documents(1, Split::Train).next().expect("a document").text;
    assert!(text.starts_with(&format!("{first}<|endoftext|>")));
}

/// As it was before there were shards: documents in memory, the tokenizer trained on all of them, one stream of tokens.
#[test]
fn streamed_tokens_are_those_of_the_whole_corpus_at_once() {
    let spec = world(300, 32);
    let documents: Vec<String> = World::new(0).documents(300, Split::Train).map(|d| d.text).collect();
    let tokenizer = Tokenizer::train(&documents, 400).expect("a tokenizer");
    let mut tokens = Vec::new();
    for document in &documents {
        tokens.extend(tokenizer.encode(document).expect("ids"));
        tokens.push(tokenizer.eos_id());
    }
    for shard_bytes in [1, 1000, SHARD_BYTES] {
        let folder = tempfile::tempdir().expect("a folder");
        prepare_in_shards(&spec, None, folder.path(), &Unwatched, shard_bytes).expect("data");
        let data = Prepared::open(folder.path()).expect("data");
        assert_eq!(data.tokenizer.to_json(), tokenizer.to_json());
        assert_eq!(all(&data.sources[0][0]), tokens);
        let shards = data.header.sources[0].train.shards.len();
        assert!(
            if shard_bytes == 1 { shards == 300 } else { shards < 60 },
            "{shards} shards of {shard_bytes}"
        );
        let batches = data.batches(&spec, 5).expect("batches");
        assert_eq!(
            batches.batch(7, 3),
            Batches::new(tokens.clone().into(), 32, 5).expect("batches").batch(7, 3)
        );
    }
}

#[test]
fn damaged_folders_are_faults_with_the_remedy() {
    let spec = world(300, 32);
    let mut messages = Vec::new();
    let changes: [(&str, &[u8]); 4] = [
        ("tokenizer.json", b"{}"),
        ("corpus.json", b"{\"format\": 1}"),
        ("corpus.json", b"{\"format\": 2}"),
        ("corpus.json", b"{"),
    ];
    for (name, bytes) in changes {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(&spec, None, folder.path(), &Unwatched).expect("data");
        fs::write(folder.path().join(name), bytes).expect("written");
        let error = Prepared::open(folder.path()).err().expect("a fault").to_string();
        messages.push(error.replace(&folder.path().display().to_string(), "<folder>"));
    }
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn short_and_empty_corpora_are_faults() {
    let message = |spec: &DataSpec| prepared(spec).err().expect("a fault").to_string();
    let error = message(&world(1, 5000));
    assert!(error.starts_with("training corpus too short: "), "{error}");
    assert_eq!(message(&world(0, 8)), "no training documents");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        vec![path.display().to_string()]
    };
    let full = file("full.txt", "One document of some words.<|endoftext|>And another one.");
    let empty = file("empty.txt", " <|endoftext|>\n<|endoftext|>");
    let text = |train: &Vec<String>, validation: &Vec<String>| CorpusSpec::Text {
        train: train.clone(),
        validation: validation.clone(),
    };
    let mixture =
        |second| CorpusSpec::Mixture { sources: vec![text(&full, &full), second], weights: vec![1.0, 1.0] };
    let error = message(&DataSpec { corpus: mixture(text(&full, &empty)), ..world(1, 8) });
    let error = error.replace(&folder.path().display().to_string(), "<folder>");
    assert_eq!(error, "source 2 of the mixture: no validation documents in `<folder>/empty.txt`");
    // A document longer than the context is cut into windows like any other.
    let spec = DataSpec { corpus: mixture(text(&full, &full)), ..world(1, 8) };
    assert!(prepared(&spec).expect("data").batches(&spec, 1).is_ok());
}

/// The library that trains a tokenizer cannot be stopped; whoever waits for it can.
#[test]
fn the_training_of_a_tokenizer_can_be_stopped() {
    struct Late {
        length: u64,
        read: Mutex<Option<Instant>>,
    }
    impl Watch for Late {
        fn on_read(&self, done: u64, _: u64) {
            if done >= self.length {
                self.read.lock().expect("no panic").get_or_insert_with(Instant::now);
            }
        }
        /// Some time after the training text was read.
        fn interrupted(&self) -> bool {
            self.read.lock().expect("no panic").is_some_and(|at| at.elapsed() > Duration::from_millis(300))
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words.txt");
    let mut state = 1u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:x} ", state >> 24)
    };
    let text: String = (0..200_000).map(|_| word()).collect();
    fs::write(&path, &text).expect("written");
    let files = vec![path.display().to_string()];
    let spec = DataSpec {
        corpus: CorpusSpec::Text { train: files.clone(), validation: files },
        tokenizer: TokenizerSpec::Bpe { vocab_size: 60_000 },
        context_length: 32,
        shuffle: Shuffle::Windows,
        packing: Packing::Crossing,
    };
    let watch = Late { length: text.len() as u64, read: Mutex::default() };
    let stopped = prepare(&spec, None, &folder.path().join("out"), &watch);
    assert!(matches!(stopped, Err(DataError::Interrupted)), "{:?}", stopped.err());
    let read = watch.read.into_inner().expect("no panic").expect("it was read");
    assert!(read.elapsed() < Duration::from_secs(5), "{:?}", read.elapsed());
}

#[test]
fn real_corpora_are_read_and_round_trip() {
    let shared = std::env::var("EFFICIENTLLM_SHARED")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("data/corpora/tinystories_sample");
    if !folder.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", folder.display()));
        return;
    }
    let name = |file: &str| vec![folder.join(file).display().to_string()];
    let spec = DataSpec {
        corpus: CorpusSpec::Text { train: name("valid.txt"), validation: name("valid.txt") },
        tokenizer: TokenizerSpec::Bpe { vocab_size: 512 },
        context_length: 128,
        shuffle: Shuffle::Documents,
        packing: Packing::Crossing,
    };
    let data = prepared(&spec).expect("data");
    let text = data.tokenizer.decode(&all(&data.sources[0][1])).expect("text");
    let documents = read_text(&[folder.join("valid.txt")]).expect("documents");
    assert_eq!(text, documents.iter().map(|d| format!("{d}<|endoftext|>")).collect::<String>());
    assert!(read_text(&[folder.join("train.txt.zst")]).expect("documents").len() > 1000);
    let smollm2 = shared.join("data/tokenizers/smollm2/tokenizer.json");
    let spec = DataSpec { tokenizer: TokenizerSpec::File { path: smollm2.display().to_string() }, ..spec };
    let data = prepared(&spec).expect("data");
    let tokens = all(&data.sources[0][1]);
    let bytes: u64 = tokens.iter().map(|&id| u64::from(data.tokenizer.num_bytes(id))).sum();
    assert_eq!(bytes, data.header.sources[0].validation.text_bytes);
}
