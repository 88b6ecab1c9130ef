//! A finished run of an experiment: where its model lies, and what its card says, from result tables and store alone.
use crate::base::suggest::nearest;
use crate::base::{files, input, units};
use crate::cli::Place;
use crate::data::Tokenizer;
use crate::data::prepare::Header;
use crate::model::ModelConfig;
use crate::model::checkpoint::{Licence, ModelCard, Score};
use crate::record::{Provenance, Results, RunEntry, Status};
use crate::run::{Origin, StageRecord, Store};
use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What of a run is exported.
pub(super) struct Finished {
    /// Folder of the checkpoint.
    pub model: PathBuf,
    /// The tokenizer that it was trained with.
    pub tokenizer: PathBuf,
    pub card: ModelCard,
}

impl Finished {
    /// The tokenizer with what was kept of the tokens that begin and end a text.
    pub fn tokenizer(&self, config: &ModelConfig) -> Result<Tokenizer> {
        let json = input::read_text(&self.tokenizer, u64::MAX)
            .map_err(|e| anyhow!("cannot read `{}`: {e}", self.tokenizer.display()))?;
        let header = Header::read(files::folder_of(&self.tokenizer))?;
        let tokenizer = Tokenizer::from_parts(&json, header.special_tokens.unwrap_or_default())?;
        Ok(tokenizer.within(config.vocab_size)?)
    }
}

/// Finds the run called `name` (its name in `runs.csv`, `arm/seed`, or an arm with one finished run) at `place`.
pub(super) fn find(place: &Place, name: &str) -> Result<Finished> {
    let folder = place.recorded()?;
    let results = Results::read(&folder)?;
    let at = choose(&results, name)?;
    let run = &results.runs[at];
    let store = Store::at(&folder);
    let again = format!("hint: `efficientllm run {}` makes it", place.experiment.display());
    // Every file that goes out, or into the card, is held against its checksum.
    let made = match run.identity.stage.as_deref() {
        Some(stage) => store.checked(stage)?,
        None => None,
    };
    let Some(made) = made else {
        let restore = format!("{} --only {} --restore-models", place.command("run"), run.identity.run);
        bail!(
            "the model of `{name}` is not in `{}`\nhint: `{restore}` makes it again",
            folder.join("store").display()
        );
    };
    let record = made.record;
    let named = |key: &str| record.identity.get(key).and_then(Value::as_str);
    let Some(corpus) = named("corpus") else {
        bail!("`{name}` was not made in this experiment\nhint: export it from the place that it came from");
    };
    let Some(data) = store.checked(corpus)? else {
        bail!("the corpus of `{name}` is not in `{}`\n{again}", folder.join("store").display());
    };
    let source = match named("source") {
        Some(id) => store.checked(id)?.map(|source| source.record),
        None => None,
    };
    // Only a model from disk has an origin; one that was trained comes from its corpus.
    let origin = source.as_ref().filter(|source| !was_trained(source)).map(|source| {
        Origin::read(&store.folder(&source.id))
            .unwrap_or_else(|| Origin::new(Path::new("a model from disk"), None))
    });
    let facts = facts(run, &record, &data.record, &folder)?;
    Ok(Finished {
        model: made.folder.join("model"),
        tokenizer: data.folder.join("tokenizer.json"),
        card: ModelCard {
            name: String::new(),
            source: match (&source, &origin) {
                (None, _) => "none: trained from the beginning in this experiment".to_string(),
                (Some(source), None) => format!("stage {}", source.id),
                (Some(source), Some(origin)) => {
                    format!("{} (stage {}, made elsewhere: {})", origin.name, source.id, source.identity)
                }
            },
            licence: Some(match origin {
                Some(origin) => Licence::stated(origin.licence),
                None => Licence::Unknown(
                    "it was trained in this experiment, and what its corpus permits decides".to_string(),
                ),
            }),
            arm: run.identity.arm.clone(),
            facts,
            scores: scores(&results, at),
            spec: serde_json::to_string_pretty(&record.identity)?,
        },
    })
}

/// Whether the model of this stage was trained in the experiment; one from disk has no schedule.
fn was_trained(stage: &StageRecord) -> bool {
    stage.identity.get("train").is_some()
}

/// An arm with its values of axes, as `compare` names it.
fn label(run: &RunEntry) -> String {
    let values = run.axes.iter().map(|(_, value)| value.as_str());
    std::iter::once(run.identity.arm.as_str()).chain(values).collect::<Vec<_>>().join(" · ")
}

/// The place of the run called `name` in the tables.
fn choose(results: &Results, name: &str) -> Result<usize> {
    let runs = &results.runs;
    let by_arm: Vec<usize> = match runs.iter().position(|run| run.identity.run == name) {
        Some(at) => vec![at],
        None => {
            let (arm, seed) = match name.rsplit_once('/') {
                Some((arm, seed)) => (arm, Some(seed)),
                None => (name, None),
            };
            let fits = |run: &RunEntry| {
                (run.identity.arm == arm || label(run) == arm)
                    && seed.is_none_or(|seed| run.identity.seed.to_string() == seed)
            };
            (0..runs.len()).filter(|at| fits(&runs[*at])).collect()
        }
    };
    let is_done = |at: &&usize| runs[**at].identity.status == Status::Ok;
    let done: Vec<usize> = by_arm.iter().filter(is_done).copied().collect();
    match (done.as_slice(), by_arm.first()) {
        ([only], _) => Ok(*only),
        ([], Some(failed)) => {
            let reason = runs[*failed].identity.reason.as_deref().unwrap_or("for an unknown reason");
            Err(anyhow!("run `{}` failed: {reason}", runs[*failed].identity.run))
        }
        ([], None) => {
            let arm_and_seed = |run: &RunEntry| format!("{}/{}", run.identity.arm, run.identity.seed);
            let mut known: Vec<String> = runs.iter().map(arm_and_seed).collect();
            known.dedup();
            let names = known.iter().map(String::as_str).chain(runs.iter().map(|r| r.identity.run.as_str()));
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("runs: {}", known.join(", ")),
            };
            Err(anyhow!("no run `{name}` in the results\nhint: {hint}"))
        }
        (several, _) => {
            // By what tells them apart: the values of axes, and seeds.
            let names: Vec<String> = several
                .iter()
                .map(|at| format!("`{}/{}`", label(&runs[*at]), runs[*at].identity.seed))
                .collect();
            Err(anyhow!("`{name}` names {} runs\nhint: name one of {}", names.len(), names.join(", ")))
        }
    }
}

/// What is known of the run, by name. Nothing stands here that was not measured or recorded.
fn facts(
    run: &RunEntry,
    record: &StageRecord,
    data: &StageRecord,
    folder: &Path,
) -> Result<Vec<(String, String)>> {
    let totals = &run.totals;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_string(), value)));
    };
    add("run", Some(run.identity.run.clone()));
    add("seed", Some(run.identity.seed.to_string()));
    for (axis, value) in &run.axes {
        add(axis, Some(value.clone()));
    }
    add("target parameters", totals.target_params.map(|n| n.to_string()));
    for key in ["saliency", "update", "head_unit", "types"] {
        let value = record.identity.pointer(&format!("/prune/{key}"));
        add(key, value.map(|value| value.as_str().map_or_else(|| value.to_string(), String::from)));
    }
    add("tokens", totals.tokens.map(|n| n.to_string()));
    add("tokens with the source's", totals.total_tokens.map(|n| n.to_string()));
    add("FLOPs", totals.flops.map(|flops| units::si(flops, "FLOP")));
    add("FLOPs with the source's", totals.total_flops.map(|flops| units::si(flops, "FLOP")));
    add("held-out loss (nats per token)", totals.valid_loss.map(|loss| format!("{loss:.4}")));
    add("held-out bits per byte", totals.bits_per_byte.map(|bits| format!("{bits:.4}")));
    add("corpus", data.identity.get("corpus").map(Value::to_string));
    add("tokenizer", data.identity.get("tokenizer").map(Value::to_string));
    add("stage", Some(record.id.clone()));
    if let Some(made) = Provenance::read(folder)? {
        let state = match made.git_dirty {
            Some(true) => " with changes that are not committed",
            _ => "",
        };
        add("commit", made.git_commit.map(|commit| format!("{commit}{state}")));
        add("efficientllm", Some(made.crate_version));
        add("engine", Some(made.engine));
    }
    Ok(facts)
}

/// The rows of `evals.csv` of one run.
fn scores(results: &Results, run: usize) -> Vec<Score> {
    let mut scores = Vec::new();
    for row in results.evals.iter().filter(|row| row.run == run).map(|row| &row.row) {
        for (metric, value, low, high) in [
            ("acc", row.acc, row.acc_low, row.acc_high),
            ("acc_norm", row.acc_norm, row.acc_norm_low, row.acc_norm_high),
        ] {
            scores.extend(value.map(|value| Score {
                task: row.task.clone(),
                metric: metric.to_string(),
                value,
                interval: low.zip(high),
                num_items: row.num_items,
            }));
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RunIdentity, RunTotals};

    /// Two values of an axis by two seeds; the last run failed.
    fn grid() -> Results {
        let mut results = Results { axes: vec!["prune.saliency".into()], ..Results::default() };
        for (rule, seed) in [("random", 1), ("random", 2), ("taylor1", 1), ("taylor1", 2)] {
            let failed = (rule, seed) == ("taylor1", 2);
            let identity = RunIdentity {
                run: format!("pruning_aware-s{seed}-{rule}0123abcd"),
                arm: "pruning_aware".into(),
                seed,
                status: if failed { Status::Failed } else { Status::Ok },
                reason: failed.then(|| "loss became NaN".into()),
                stage: None,
            };
            let axes = vec![("prune.saliency".into(), rule.into())];
            results.runs.push(RunEntry { identity, axes, totals: RunTotals::default() });
        }
        results
    }

    #[test]
    fn a_run_is_named_by_arm_axes_and_seed() {
        let results = grid();
        let found = |name: &str| choose(&results, name).map_err(|fault| fault.to_string());
        assert_eq!(found("pruning_aware · taylor1/1"), Ok(2));
        assert_eq!(found("pruning_aware-s2-random0123abcd"), Ok(1));
        // One finished run of an arm at a point needs no seed.
        assert_eq!(found("pruning_aware · taylor1"), Ok(2));
        // What would do is named by what a reader knows, not by hashes.
        let several = "`pruning_aware/1` names 2 runs\nhint: name one of `pruning_aware · random/1`, `pruning_aware · taylor1/1`";
        assert_eq!(found("pruning_aware/1"), Err(several.into()));
        let failed = "run `pruning_aware-s2-taylor10123abcd` failed: loss became NaN";
        assert_eq!(found("pruning_aware · taylor1/2"), Err(failed.into()));
        let unknown = "no run `pruning_awar/1` in the results\nhint: did you mean `pruning_aware/1`?";
        assert_eq!(found("pruning_awar/1"), Err(unknown.into()));
    }
}
