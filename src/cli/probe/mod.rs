//! `efficientllm probe`: how well each saliency rule predicts what removing a group does.
mod tables;

use super::meter::Meter;
use super::{Place, Settings, engine};
use crate::base::output::write_out;
use crate::data::{Batches, Prepared};
use crate::model::checkpoint;
use crate::model::engine::{Engine, OnRank};
use crate::model::rank::Rank;
use crate::plan::{Plan, Stage, StageKind, plan};
use crate::record::dictionary::RUNS;
use crate::report::{PAGE_FILE, PLAN_FILE};
use crate::run::{Store, keys};
use crate::tensor::Backend;
use crate::train::probe::{PROBED, Probe, ProbePlan, Step, probe};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Args)]
pub(super) struct Options {
    /// Groups of each type removed in each layer, one by one; 0: all
    #[arg(long, value_name = "N", default_value_t = 16)]
    groups: usize,
    /// Calibration sets, each with a seed of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    calibrations: u16,
    /// Held-out tokens on which loss is measured [default: eval.validation_tokens of the file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    held_out: Option<u64>,
}

pub(super) fn main(place: &Place, settings: &Settings, options: &Options) -> Result<u8> {
    let (mut experiment, results) = place.load(settings)?;
    let kind = engine::resolve_spec(&mut experiment.engine)?;
    let plan = plan(&experiment, kind)?;
    let store = Store::at(&results);
    let corpus = stage(&plan, |kind| *kind == StageKind::Corpus)?;
    let source = stage(&plan, |kind| matches!(kind, StageKind::Model(arm) if arm.is_source()))?;
    let keys = keys(&plan);
    // Every file is held against its checksum before it is read.
    let folder_of = |stage: &Stage| -> Result<PathBuf> {
        let key = keys.iter().find(|key| key.id == stage.id);
        let found = key.map(|key| store.find(key)).transpose()?.flatten();
        let Some(finished) = found else {
            bail!(
                "stage `{}` is not there yet\nhint: `efficientllm run {}` makes it",
                stage.id,
                place.experiment.display()
            );
        };
        store.verify(&finished)?;
        Ok(finished.folder)
    };
    let spec = &source.spec;
    if !PROBED.iter().any(|kind| spec.prune.types.contains(kind)) {
        let names: Vec<String> = PROBED.iter().map(|kind| format!("`{}`", kind.name())).collect();
        bail!("prune.types has none that can be probed\nhint: add one of {}", names.join(", "));
    }
    let (corpus, source_folder) = (folder_of(corpus)?, folder_of(source)?);
    let data = Prepared::open(&corpus)?;
    let seed = source.seed.or(experiment.seeds.first().copied()).unwrap_or_default();
    let calibrations: Vec<Batches> = (0..u64::from(options.calibrations))
        .map(|i| data.batches(&spec.data, seed.wrapping_add(i)))
        .collect::<Result<_, _>>()?;
    let limit = options.held_out.unwrap_or(spec.eval.validation_tokens);
    let windows = data.validation(&spec.data, limit)?;
    let held_out: Vec<_> =
        windows.batches(spec.train.micro_batch, &data.tokenizer).map(|(batch, _)| batch).collect();
    let interrupted = super::run::stop_on_signals()?;
    let task = Work {
        folder: source_folder.join("model"),
        calibrations,
        held_out,
        plan: ProbePlan {
            prune: &spec.prune,
            context_length: spec.data.context_length,
            micro_batch: spec.train.micro_batch,
            first_sequence: spec.source.stream_tokens() / spec.data.context_length as u64,
            groups_per_layer: options.groups,
            seed,
        },
        interrupted: &interrupted,
    };
    let device = engine::groups(kind, &experiment.engine)?[0][0];
    let engine = Engine::of(&experiment.engine, kind, vec![device], spec.train.micro_batch);
    // On one of the threads: whoever is on none of them has to wake them for every product.
    let measured = rayon::ThreadPoolBuilder::new().build()?.install(|| engine.run(task))??;
    let rows = tables::write(&results, &measured)?;
    write_out(&tables::text(&measured, &rows));
    say!(
        "tables in {} and {}",
        results.join(tables::GROUPS).display(),
        results.join(tables::RULES).display()
    );
    // Where the sweep has results already, their report shows what was found.
    if results.join(RUNS).exists() && results.join(PLAN_FILE).exists() {
        crate::report::write(&results)?;
        say!("report in {}", results.join(PAGE_FILE).display());
    }
    Ok(0)
}

/// The first stage of this kind.
fn stage(plan: &Plan, is: impl Fn(&StageKind) -> bool) -> Result<&Stage> {
    plan.stages.iter().find(|stage| is(&stage.kind)).context("the experiment has no source to probe")
}

struct Work<'a> {
    folder: PathBuf,
    calibrations: Vec<Batches>,
    held_out: Vec<crate::data::Batch>,
    plan: ProbePlan<'a>,
    interrupted: &'a AtomicBool,
}

impl OnRank for Work<'_> {
    type Output = Result<Probe>;

    fn on<B: Backend>(self, mut rank: Rank<'_, B>) -> Result<Probe> {
        let (config, weights) = checkpoint::load(rank.backend, &self.folder)?;
        let mut meter: Option<Meter> = None;
        let mut progress = |step: Step| {
            match step {
                Step::Scoring { pass, of } => tell!("scores of all rules, pass {pass} of {of}"),
                // Its time is that of groups alone.
                Step::Removing { groups } => {
                    meter = Some(Meter::new(groups as u64, format!("{groups} groups")))
                }
                Step::Removed => meter.iter_mut().for_each(|meter| meter.add(1)),
            }
            !self.interrupted.load(Ordering::Relaxed)
        };
        let outcome = probe(
            &mut rank,
            &self.calibrations,
            &self.held_out,
            &self.plan,
            &config,
            &weights,
            &mut progress,
        );
        meter.iter().for_each(Meter::close);
        Ok(outcome?)
    }
}
