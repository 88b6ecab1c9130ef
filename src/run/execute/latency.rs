//! Latency of one model at batch 1: a prompt is read in one pass, then tokens are generated one by one, greedily.
//!
//! What the prompt says does not change what is computed, so it is random. The sweep lets nothing run beside it.
use super::super::executor::{Progress, StageFailure, Task};
use super::model::{self, SummaryError};
use crate::base::random::stream;
use crate::model::decode::Decoder;
use crate::record::{LatencyPhase, LatencyRow};
use crate::tensor::{Backend, Scalar};
use rand::RngExt;
use std::time::Instant;

/// Measures the model of the stage and writes `latency.json` to the stage's folder.
pub(super) fn measure<B: Backend>(
    backend: &B,
    task: &Task<'_>,
    progress: &dyn Progress,
) -> Result<(), StageFailure> {
    let folder = task.inputs.model.as_deref().ok_or(SummaryError::NoInput("model"))?;
    let asked = task.stage.spec.latency.ok_or(SummaryError::NoInput("latency in its spec"))?;
    let (config, weights) = model::load(backend, folder)?;
    let mut random = stream(0, "prompt of a latency measurement");
    let prompt: Vec<u32> =
        (0..asked.prompt_tokens).map(|_| random.random_range(0..config.vocab_size as u32)).collect();
    let mut decoder = Decoder::new(backend, &config, asked.prompt_tokens + asked.decode_tokens);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    // The first round warms up caches and is not counted.
    for round in 0..=asked.repeats {
        if progress.interrupted() {
            return Err(StageFailure::Interrupted);
        }
        decoder.clear();
        let started = Instant::now();
        let mut logits = decoder.advance(backend, &config, &weights, &prompt);
        let read = started.elapsed().as_secs_f64();
        let started = Instant::now();
        for _ in 0..asked.decode_tokens {
            logits = decoder.advance(backend, &config, &weights, &[likeliest(&logits)]);
        }
        if round > 0 {
            prefill.push(read);
            decode.push(started.elapsed().as_secs_f64());
        }
        progress.update(round as u64 + 1, asked.repeats as u64 + 1, None, Some(config.num_params()));
    }
    let threads = rayon::current_num_threads() as u64;
    let rows = [
        LatencyRow::of(LatencyPhase::Prefill, asked.prompt_tokens as u64, threads, &prefill),
        LatencyRow::of(LatencyPhase::Decode, asked.decode_tokens as u64, threads, &decode),
    ];
    LatencyRow::write(&rows, task.folder)?;
    Ok(())
}

/// The token with the largest logit, the first of equal ones.
fn likeliest<T: Scalar>(logits: &[T]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}
