//! Making stages on demand, each after its inputs, and runs out of them.
use super::cost;
use super::error::PlanError;
use super::identity::{self, Files, InputIds, stage_id};
use super::{Inputs, Plan, Run, Stage, StageKind};
use crate::spec::vocabulary::vocab_size;
use crate::spec::{ArmSpec, DirectBudget, DirectShape, EngineKind, Experiment, RunSpec, SourceModel};
use std::collections::HashMap;

pub(super) fn plan(experiment: &Experiment, engine: EngineKind) -> Result<Plan, PlanError> {
    let identity = identity::engine(engine, &experiment.engine);
    let mut builder =
        Builder { engine: identity, files: Files::default(), stages: Vec::new(), places: HashMap::new() };
    let mut runs: Vec<Run> = Vec::new();
    for seed in &experiment.seeds {
        for point in &experiment.points {
            // Replicates that share a source share the first seed's.
            let source_seed = if point.spec.source.per_seed { *seed } else { experiment.seeds[0] };
            for arm in &experiment.arms {
                let (made, evaluation) = builder.run(*arm, &point.spec, *seed, source_seed)?;
                let run_seed = builder.stages[made].seed.unwrap_or(*seed);
                match runs.iter_mut().find(|run| run.evaluation == evaluation) {
                    // Known from another point: where the points differ, the arm does not depend on the axis.
                    Some(run) => {
                        for (cell, value) in run.axes.iter_mut().zip(&point.values) {
                            if cell.as_ref().is_some_and(|cell| cell != value) {
                                *cell = None;
                            }
                        }
                    }
                    None => runs.push(Run {
                        id: run_id(*arm, run_seed, &builder.stages[evaluation].id),
                        arm: *arm,
                        seed: run_seed,
                        axes: point.values.iter().cloned().map(Some).collect(),
                        model: made,
                        evaluation,
                        latency: None,
                    }),
                }
            }
        }
    }
    // Measured last, when everything else is done and the machine is quiet.
    for run in &mut runs {
        run.latency = builder.latency(run.arm, run.model)?;
    }
    Ok(Plan { experiment: experiment.clone(), engine, stages: builder.stages, runs })
}

fn run_id(arm: ArmSpec, seed: u64, evaluation: &str) -> String {
    let hash = evaluation.rsplit('-').next().unwrap_or(evaluation);
    format!("{}-s{seed}-{hash}", arm.label())
}

/// Readable beginning of an id.
fn slug(arm: ArmSpec, seed: Option<u64>) -> String {
    match seed {
        Some(seed) => format!("{}-s{seed}", arm.label()),
        None => arm.label(),
    }
}

struct Builder {
    engine: serde_json::Value,
    files: Files,
    stages: Vec<Stage>,
    /// Place of the stage with an id.
    places: HashMap<String, usize>,
}

impl Builder {
    /// The model of `arm` and its evaluation, with everything that they need.
    fn run(
        &mut self,
        arm: ArmSpec,
        spec: &RunSpec,
        seed: u64,
        source_seed: u64,
    ) -> Result<(usize, usize), PlanError> {
        let corpus = self.corpus(spec)?;
        let made = self.model(arm, spec, seed, source_seed)?;
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let model = &self.stages[made];
        // The identity of a model that was trained here holds its corpus.
        let held_out = model.inputs.corpus.is_none().then(|| self.stages[corpus].id.as_str());
        let mut identity = self.files.evaluation(&spec.eval, &spec.data, &model.id, held_out)?;
        // Of a model from disk nothing else says what it is scored on; in f32 on the processor it is not told, as it was
        // not before there was a choice.
        let is_from_disk = arm == ArmSpec::Source && spec.source.model.is_some();
        if is_from_disk && self.engine["products"].is_string() {
            identity["engine"] = self.engine.clone();
        }
        let seed = self.stages[made].seed;
        let evaluation = self.add(Stage {
            id: stage_id(&format!("eval-{}", slug(arm, seed)), &identity),
            kind: StageKind::Evaluation(arm),
            inputs: Inputs { corpus: Some(corpus), model: Some(made), ..Inputs::default() },
            seed,
            spec: spec.clone(),
            identity,
            cost: cost::evaluation(arm, spec, vocab_size),
        })?;
        Ok((made, evaluation))
    }

    fn corpus(&mut self, spec: &RunSpec) -> Result<usize, PlanError> {
        let identity = self.files.corpus(spec)?;
        self.add(Stage {
            id: stage_id("corpus", &identity),
            kind: StageKind::Corpus,
            inputs: Inputs::default(),
            seed: None,
            spec: spec.clone(),
            identity,
            cost: cost::corpus(&spec.data.corpus),
        })
    }

    fn model(
        &mut self,
        arm: ArmSpec,
        spec: &RunSpec,
        seed: u64,
        source_seed: u64,
    ) -> Result<usize, PlanError> {
        if let (ArmSpec::Source, Some(model)) = (arm, &spec.source.model) {
            return self.source_model(model, spec);
        }
        let corpus = self.corpus(spec)?;
        let seed = if arm == ArmSpec::Source { source_seed } else { seed };
        let (needs_source, needs_pruning_aware) = match arm {
            ArmSpec::Source => (false, false),
            ArmSpec::PruningAware | ArmSpec::OneShot | ArmSpec::OneShotRecover => (true, false),
            ArmSpec::Direct { shape, budget } => {
                let flops = budget == DirectBudget::TotalFlops;
                (flops, flops || shape == DirectShape::Searched)
            }
        };
        let mut input = |needed: bool, arm| match needed {
            true => self.model(arm, spec, seed, source_seed).map(Some),
            false => Ok(None),
        };
        let source = input(needs_source, ArmSpec::Source)?;
        let pruning_aware = input(needs_pruning_aware, ArmSpec::PruningAware)?;
        let id_of = |place: usize| self.stages[place].id.as_str();
        let ids = InputIds {
            corpus: id_of(corpus),
            source: source.map(id_of),
            pruning_aware: pruning_aware.map(id_of),
        };
        let identity = identity::model(arm, spec, seed, &self.engine, &ids);
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        self.add(Stage {
            id: stage_id(&slug(arm, Some(seed)), &identity),
            kind: StageKind::Model(arm),
            inputs: Inputs { corpus: Some(corpus), source, pruning_aware, model: None },
            seed: Some(seed),
            spec: spec.clone(),
            identity,
            cost: cost::model(arm, spec, vocab_size),
        })
    }

    /// The source model from disk.
    fn source_model(&mut self, model: &SourceModel, spec: &RunSpec) -> Result<usize, PlanError> {
        let identity = self.files.source_model(model, spec.source.tokens)?;
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        self.add(Stage {
            id: stage_id(&slug(ArmSpec::Source, None), &identity),
            kind: StageKind::Model(ArmSpec::Source),
            inputs: Inputs::default(),
            seed: None,
            spec: spec.clone(),
            identity,
            cost: cost::model(ArmSpec::Source, spec, vocab_size),
        })
    }

    /// The measurement of the model `made`, where its spec asks for one.
    fn latency(&mut self, arm: ArmSpec, made: usize) -> Result<Option<usize>, PlanError> {
        let Stage { id, seed, spec, .. } = &self.stages[made];
        let Some(asked) = spec.latency else { return Ok(None) };
        let identity = identity::latency(asked, id);
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let stage = Stage {
            id: stage_id(&format!("latency-{}", slug(arm, *seed)), &identity),
            kind: StageKind::Latency(arm),
            inputs: Inputs { model: Some(made), ..Inputs::default() },
            seed: *seed,
            cost: cost::latency(arm, asked, spec, vocab_size),
            spec: spec.clone(),
            identity,
        };
        self.add(stage).map(Some)
    }

    fn add(&mut self, stage: Stage) -> Result<usize, PlanError> {
        if let Some(place) = self.places.get(&stage.id) {
            return match self.stages[*place].identity == stage.identity {
                true => Ok(*place),
                false => Err(PlanError::Collision { id: stage.id }),
            };
        }
        self.places.insert(stage.id.clone(), self.stages.len());
        self.stages.push(stage);
        Ok(self.stages.len() - 1)
    }
}
