//! `efficientllm export`: a model for other programs, with its tokenizer and a card that says where it comes from: any
//! model that can be read, or the model of a finished run.
mod run;
mod tokenizer;

use super::Place;
use super::model::{resolve, tell, tokenizer_for};
use crate::base::files;
use crate::base::units;
use crate::eval::tables_of;
use crate::model::ModelConfig;
use crate::model::checkpoint::{
    GgufFormat, Licence, LoadedModel, ModelCard, TokenizerSource, export_gguf, export_hf, load_any,
};
use crate::tensor::CpuBackend;
use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Options {
    /// Where the model is.
    #[arg(
        help = "Model: a folder with config.json and safetensors, a .gguf file, a llama2.c file, or hf:org/name[@revision]; before RUN the folder of an experiment"
    )]
    model: OsString,
    /// A finished run of the experiment: its name, arm/seed, or an arm that has one
    run: Option<String>,
    /// Where its results are.
    #[arg(
        long,
        value_name = "DIR",
        requires = "run",
        help = "Folder of the experiment's results [default: results/<name of the experiment>]"
    )]
    results: Option<PathBuf>,
    /// What is written: a folder for transformers, or a file that ends in .gguf for llama.cpp; it must not exist
    #[arg(long, value_name = "PLACE")]
    out: PathBuf,
    /// How matrices are stored in a .gguf file [default: f16]
    #[arg(long, value_name = "TYPE")]
    gguf_type: Option<Type>,
    /// A tokenizer.json in place of the model's own
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Name in the card and in the file [default: that of the output]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Licence of the model that this one was made from, as an SPDX identifier in lower case [default: what it names]
    #[arg(long, value_name = "SPDX")]
    source_licence: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

pub(super) fn main(options: &Options) -> Result<u8> {
    let out = &options.out;
    let is_gguf = out.extension().is_some_and(|extension| extension == "gguf");
    if !is_gguf && options.gguf_type.is_some() {
        let nearest = out.with_extension("gguf");
        bail!(
            "`--gguf-type` is for `.gguf` files, and `--out` is `{}`\nhint: did you mean `--out {}`?",
            out.display(),
            nearest.display()
        );
    }
    if out.symlink_metadata().is_ok() {
        bail!("`{}` exists already\nhint: name another place with `--out`", out.display());
    }
    let backend = CpuBackend::<f32>::new();
    let finished = match &options.run {
        Some(run) => {
            let place = Place { experiment: PathBuf::from(&options.model), results: options.results.clone() };
            Some(run::find(&place, run)?)
        }
        None => None,
    };
    let place = match &finished {
        Some(finished) => finished.model.clone(),
        None => resolve(&options.model)?,
    };
    let shown = options.model.to_string_lossy();
    let LoadedModel { config, weights, tokenizer: own, licence, notes } = load_any(&backend, &place)?;
    tell(&shown, &notes);
    let source = match (&options.tokenizer, &finished) {
        (Some(path), _) => TokenizerSource::TokenizerJson(path.clone()),
        (None, Some(finished)) => TokenizerSource::TokenizerJson(finished.tokenizer.clone()),
        (None, None) => own,
    };
    let wrong = |e: anyhow::Error| anyhow!("{e}\nhint: `--tokenizer` names a `tokenizer.json`");
    let tokenizer = match &finished {
        // What begins and ends its texts was kept with the corpus.
        Some(finished) if options.tokenizer.is_none() => finished.tokenizer(&config),
        _ => tokenizer_for(&source, &config, &shown),
    }
    .map_err(wrong)?;
    let mut card = finished.map_or_else(
        || ModelCard {
            source: shown.to_string(),
            licence: Some(Licence::stated(licence)),
            ..ModelCard::default()
        },
        |finished| finished.card,
    );
    let stem = if is_gguf { out.file_stem() } else { out.file_name() };
    let name = options.name.clone();
    card.name = name.unwrap_or_else(|| stem.unwrap_or_default().to_string_lossy().into_owned());
    if let Some(licence) = &options.source_licence {
        card.licence = Some(Licence::Named(licence.clone()));
    }
    let parent = files::folder_of(out);
    std::fs::create_dir_all(parent)
        .map_err(|e| anyhow!("cannot make the folder `{}`: {e}", parent.display()))?;
    let mut in_f32 = Vec::new();
    if is_gguf {
        let format = match options.gguf_type.unwrap_or(Type::F16) {
            Type::F16 => GgufFormat::F16,
            Type::Q8_0 => GgufFormat::Q8_0,
        };
        let mut tables = tables_of(&source, &tokenizer)?;
        tables.truncate(config.vocab_size);
        in_f32 = export_gguf(&backend, out, &config, &weights, Some(&tables), format, &card)?;
    } else {
        let ends = tokenizer::ends(&tokenizer, config.vocab_size);
        let beside = match &source {
            TokenizerSource::TokenizerJson(path) => Some(path.as_path()),
            _ => None,
        };
        let files = tokenizer::files(&tokenizer, &ends, beside)?;
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        export_hf(&backend, out, &config, &weights, &ends, &files, &card)?;
    }
    say!("{}", told(&config, out, is_gguf));
    if !in_f32.is_empty() {
        say!("stored in F32, since they hold weights beyond the range of F16 (65504): {}", in_f32.join(", "));
    }
    Ok(0)
}

fn told(config: &ModelConfig, out: &Path, is_gguf: bool) -> String {
    let padded = match config.is_uniform() {
        true => "",
        false => "; layers of different widths are padded with zeros to the widest, which changes no output",
    };
    let uniform = config.layers.iter().map(|layer| layer.num_heads).max().unwrap_or(1);
    let for_whom = match is_gguf {
        true => "llama.cpp",
        false if config.biases.is_empty() && !config.hidden_size.is_multiple_of(uniform) => {
            "transformers (as a Mistral, which computes the same: transformers 5 refuses a Llama whose heads do not divide its width)"
        }
        false => "transformers",
    };
    let params = units::grouped(config.num_params());
    format!("{params} parameters in `{}`, for {for_whom}{padded}", out.display())
}
