//! Making stages on demand, each after its inputs, and runs out of them.
use super::cost;
use super::error::PlanError;
use super::identity::{self, Files, Identity, InputIds, stage_id};
use super::{Inputs, Plan, Run, Stage, StageKind};
use crate::spec::vocabulary::vocab_size;
use crate::spec::{
    ArmSpec, EngineKind, Experiment, Point, PruneSpec, RecoverySchedule, RunSpec, SourceModel, Start, Tokens,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

pub(super) fn plan(experiment: &Experiment, engine: EngineKind) -> Result<Plan, PlanError> {
    let identity = identity::engine(engine, &experiment.engine);
    let mut builder = Builder {
        engine: identity,
        files: Files::default(),
        stages: Vec::new(),
        places: HashMap::new(),
        reads: HashSet::new(),
        rates: Rc::default(),
        sources: HashMap::new(),
    };
    let mut runs: Vec<Run> = Vec::new();
    // Arms and evaluations that are a run already.
    let mut known: HashSet<(usize, usize)> = HashSet::new();
    let mut coincide = 0;
    for seed in &experiment.seeds {
        for point in &experiment.points {
            builder.sources.clear();
            for (place, arm) in experiment.arms.iter().enumerate() {
                let own = point.own.get(place).is_some_and(Option::is_some).then_some(place);
                let at = At { experiment, point, seed: *seed, own };
                let (made, evaluation) = builder.run(arm, point.of_arm(place), &at)?;
                if known.contains(&(place, evaluation)) {
                    coincide += 1;
                    continue;
                }
                known.insert((place, evaluation));
                let run_seed = builder.stages[made].seed.unwrap_or(*seed);
                let latency = point.of_arm(place).latency.is_some().then_some("latency");
                let reads = &builder.stages[evaluation].reads;
                let read = |key: &str| {
                    reads.iter().map(String::as_str).chain(latency).any(|read| overlap(read, key))
                };
                // A name is of all that its point sets.
                let depends = |key: &str| match key {
                    "point" => point.keys.iter().any(|key| read(key)),
                    key => read(key),
                };
                let cell = |(axis, value): (&crate::spec::Axis, &String)| {
                    (depends(&axis.key) && !value.is_empty()).then(|| value.clone())
                };
                runs.push(Run {
                    id: run_id(arm, run_seed, &builder.stages[evaluation].id),
                    arm: arm.clone(),
                    seed: run_seed,
                    axes: experiment.axes.iter().zip(&point.values).map(cell).collect(),
                    model: made,
                    evaluation,
                    latency: None,
                });
            }
        }
    }
    // Measured last, when everything else is done and the machine is quiet.
    for run in &mut runs {
        run.latency = builder.latency(&run.arm, run.model)?;
    }
    Ok(Plan { experiment: experiment.clone(), engine, stages: builder.stages, runs, coincide })
}

/// Whether one of the keys is the other or lies within it.
fn overlap(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(one, other) || within(other, one)
}

fn run_id(arm: &ArmSpec, seed: u64, evaluation: &str) -> String {
    let hash = evaluation.rsplit('-').next().unwrap_or(evaluation);
    format!("{}-s{seed}-{hash}", arm.name)
}

/// Readable beginning of an id: what is computed, not what people call it.
fn slug(arm: &ArmSpec, seed: Option<u64>) -> String {
    match seed {
        Some(seed) => format!("{}-s{seed}", arm.kind()),
        None => arm.kind(),
    }
}

/// Where in the grid an arm is planned.
struct At<'a> {
    experiment: &'a Experiment,
    point: &'a Point,
    seed: u64,
    /// Place of the arm that is planned, where it has a configuration of its own here.
    own: Option<usize>,
}

impl At<'_> {
    /// The arm called `name` with its configuration here; one that is not listed is the built-in one.
    fn named(&self, name: &str) -> Result<(ArmSpec, &RunSpec), PlanError> {
        let arms = &self.experiment.arms;
        if let Some(place) = arms.iter().position(|arm| arm.name == name) {
            return Ok((arms[place].clone(), self.point.of_arm(place)));
        }
        let arm = ArmSpec::built_in(name).ok_or_else(|| PlanError::NoArm { name: name.to_string() })?;
        Ok((arm, &self.point.spec))
    }

    /// `spec`, for an arm that prunes to the widths of another with the target that these come of: what costs are estimated by.
    fn sized<'s>(&self, arm: &ArmSpec, spec: &'s RunSpec) -> Result<Cow<'s, RunSpec>, PlanError> {
        let Some(name) = arm.prune.as_ref().and_then(|prune| prune.widths_of.as_deref()) else {
            return Ok(Cow::Borrowed(spec));
        };
        let (other, theirs) = self.named(name)?;
        let PruneSpec { target, fixed_shape, .. } = self.sized(&other, theirs)?.prune.clone();
        let prune = PruneSpec { target, fixed_shape, ..spec.prune.clone() };
        Ok(Cow::Owned(RunSpec { prune, ..spec.clone() }))
    }

    /// Replicates that share a source share the first seed's.
    fn source_seed(&self, spec: &RunSpec) -> u64 {
        if spec.source.per_seed { self.seed } else { self.experiment.seeds[0] }
    }

    /// The configuration of the source of an arm that follows `spec`: what an arm sets for itself of pruning and training
    /// does not change what it starts from.
    fn of_source(&self, spec: &RunSpec) -> RunSpec {
        RunSpec {
            model: spec.model.clone(),
            source: spec.source.clone(),
            recovery: spec.recovery,
            budget: spec.budget.clone(),
            ..self.point.spec.clone()
        }
    }
}

struct Builder {
    engine: serde_json::Value,
    files: Files,
    stages: Vec<Stage>,
    /// Place of the stage with an id.
    places: HashMap<String, usize>,
    /// Keys that stages read; the stages of all seeds share them.
    reads: HashSet<Arc<BTreeSet<String>>>,
    rates: Rc<cost::KnownRates>,
    /// Source and its evaluation at the present point, for arms without a configuration of their own and for each with one.
    sources: HashMap<Option<usize>, (usize, usize)>,
}

impl Builder {
    /// The model of `arm` and its evaluation, with everything that they need.
    fn run(&mut self, arm: &ArmSpec, spec: &RunSpec, at: &At<'_>) -> Result<(usize, usize), PlanError> {
        let corpus = self.corpus(spec)?;
        let made = self.model(arm, spec, at)?;
        let (source, source_evaluation) = match ArmSpec::built_in("source") {
            Some(source) if arm.is_of_source() => {
                let known = self.sources.get(&at.own).copied();
                let (source, evaluation) = match known {
                    Some(places) => places,
                    None => {
                        let spec = RunSpec { eval: spec.eval.clone(), ..at.of_source(spec) };
                        self.run(&source, &spec, at)?
                    }
                };
                self.sources.insert(at.own, (source, evaluation));
                (Some(source), Some(evaluation))
            }
            _ => (None, None),
        };
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let model = &self.stages[made];
        // The identity of a model that was trained here holds its corpus.
        let held_out = model.inputs.corpus.is_none().then(|| self.stages[corpus].id.as_str());
        let mut identity = self.files.evaluation(&spec.eval, &spec.data, &model.id, held_out)?;
        // Of a model from disk nothing else says what it is scored on; in f32 on the processor it is not told, as it was
        // not before there was a choice.
        let is_from_disk = arm.is_source() && spec.source.model.is_some();
        if is_from_disk && self.engine["products"].is_string() {
            identity.value["engine"] = self.engine.clone();
        }
        let seed = self.stages[made].seed;
        let rates = self.rates.clone();
        let evaluation = self.add(Draft {
            slug: format!("eval-{}", slug(arm, seed)),
            kind: StageKind::Evaluation(arm.clone()),
            inputs: Inputs {
                corpus: Some(corpus),
                model: Some(made),
                source,
                source_evaluation,
                ..Inputs::default()
            },
            seed,
            spec,
            identity,
            set: &[],
            cost: &|| Ok(cost::evaluation(&rates, arm, at.sized(arm, spec)?.as_ref(), vocab_size)),
        })?;
        Ok((made, evaluation))
    }

    fn corpus(&mut self, spec: &RunSpec) -> Result<usize, PlanError> {
        let identity = self.files.corpus(spec)?;
        self.add(Draft {
            slug: "corpus".into(),
            kind: StageKind::Corpus,
            inputs: Inputs::default(),
            seed: None,
            spec,
            identity,
            set: &[],
            cost: &|| Ok(cost::corpus(&spec.data.corpus)),
        })
    }

    /// A fold over the arm's answers: what it starts from, whose widths it takes, whom it learns from, and then itself.
    fn model(&mut self, arm: &ArmSpec, spec: &RunSpec, at: &At<'_>) -> Result<usize, PlanError> {
        if let (true, Some(model)) = (arm.is_source(), &spec.source.model) {
            return self.source_model(arm, model, spec);
        }
        let corpus = self.corpus(spec)?;
        let of_source =
            arm.train.is_some_and(|train| matches!(train.tokens, Tokens::Source | Tokens::SourceStable));
        let seed = if of_source { at.source_seed(spec) } else { at.seed };
        let pays_in_flops = matches!(arm.train.map(|train| train.tokens), Some(Tokens::TotalFlops { .. }));
        let mut source_called = |name: &str| -> Result<Option<usize>, PlanError> {
            let arm = ArmSpec::built_in(name).ok_or_else(|| PlanError::NoArm { name: name.to_string() })?;
            self.model(&arm, &at.of_source(spec), at).map(Some)
        };
        let source = match arm.from {
            Start::Source if branches(arm, spec) => source_called("source_stable")?,
            Start::Source => source_called("source")?,
            Start::Scratch(_) if pays_in_flops => source_called("source")?,
            Start::Scratch(_) => None,
        };
        let teacher = if arm.distils() { source_called("source")? } else { None };
        let other = match arm.other() {
            Some(name) => {
                let (other, spec) = at.named(name)?;
                Some(self.model(&other, spec, at)?)
            }
            None => None,
        };
        let id_of = |place: usize| self.stages[place].id.as_str();
        let ids = InputIds {
            corpus: id_of(corpus),
            source: source.map(id_of),
            teacher: teacher.map(id_of),
            other: other.map(id_of),
        };
        let identity = identity::model(arm, spec, seed, &self.engine, &ids);
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let rates = self.rates.clone();
        self.add(Draft {
            slug: slug(arm, Some(seed)),
            kind: StageKind::Model(arm.clone()),
            inputs: Inputs { corpus: Some(corpus), source, teacher, other, ..Inputs::default() },
            seed: Some(seed),
            spec,
            identity,
            set: &arm.set,
            cost: &|| Ok(cost::model(&rates, arm, at.sized(arm, spec)?.as_ref(), vocab_size)),
        })
    }

    /// The source model from disk.
    fn source_model(
        &mut self,
        arm: &ArmSpec,
        model: &SourceModel,
        spec: &RunSpec,
    ) -> Result<usize, PlanError> {
        let identity = self.files.source_model(model, spec.source.tokens)?;
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let rates = self.rates.clone();
        self.add(Draft {
            slug: slug(arm, None),
            kind: StageKind::Model(arm.clone()),
            inputs: Inputs::default(),
            seed: None,
            spec,
            identity,
            set: &[],
            cost: &|| Ok(cost::model(&rates, arm, spec, vocab_size)),
        })
    }

    /// The measurement of the model `made`, where its spec asks for one.
    fn latency(&mut self, arm: &ArmSpec, made: usize) -> Result<Option<usize>, PlanError> {
        let Stage { id, seed, spec, .. } = self.stages[made].clone();
        let Some(asked) = spec.latency else { return Ok(None) };
        let vocab_size = vocab_size(&spec.data.tokenizer).map_err(PlanError::Vocabulary)?;
        let rates = self.rates.clone();
        let draft = Draft {
            slug: format!("latency-{}", slug(arm, seed)),
            kind: StageKind::Latency(arm.clone()),
            inputs: Inputs { model: Some(made), ..Inputs::default() },
            seed,
            identity: identity::latency(asked, &id),
            set: &[],
            cost: &|| Ok(cost::latency(&rates, arm, asked, &spec, vocab_size)),
            spec: &spec,
        };
        self.add(draft).map(Some)
    }

    fn add(&mut self, draft: Draft<'_>) -> Result<usize, PlanError> {
        let Draft { slug, kind, inputs, seed, spec, identity, set, cost } = draft;
        let id = stage_id(&slug, &identity.value);
        if let Some(place) = self.places.get(&id) {
            return match self.stages[*place].identity == identity.value {
                true => Ok(*place),
                false => Err(PlanError::Collision { id }),
            };
        }
        // A key that the arm sets for itself is read from nowhere else.
        let is_set =
            |key: &String| set.iter().any(|(set, _)| key == set || key.starts_with(&format!("{set}.")));
        let mut reads: BTreeSet<String> = identity.reads.into_iter().filter(|key| !is_set(key)).collect();
        for input in inputs.iter() {
            reads.extend(self.stages[input].reads.iter().cloned());
        }
        let reads = match self.reads.get(&reads) {
            Some(known) => known.clone(),
            None => {
                let reads = Arc::new(reads);
                self.reads.insert(reads.clone());
                reads
            }
        };
        self.places.insert(id.clone(), self.stages.len());
        self.stages.push(Stage {
            id,
            kind,
            inputs,
            seed,
            spec: spec.clone(),
            identity: identity.value,
            reads,
            cost: cost()?,
        });
        Ok(self.stages.len() - 1)
    }
}

/// A stage before it has an id.
struct Draft<'a> {
    slug: String,
    kind: StageKind,
    inputs: Inputs,
    seed: Option<u64>,
    spec: &'a RunSpec,
    identity: Identity,
    /// Keys that the arm sets for itself.
    set: &'a [(String, String)],
    /// Asked for only where the stage is new: most drafts are of stages that other runs have planned.
    cost: &'a dyn Fn() -> Result<cost::Cost, PlanError>,
}

/// Whether an arm goes on from the source before its decay: one that is not trained has no decay of its own.
fn branches(arm: &ArmSpec, spec: &RunSpec) -> bool {
    spec.recovery.schedule == RecoverySchedule::Branch && arm.train.is_some()
}
