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

/// What the ids of evaluations begin with.
pub const EVALUATION: &str = "eval-";

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
        corpora: Vec::new(),
        models: HashMap::new(),
    };
    let specs: Vec<Specs> = experiment.points.iter().map(Specs::of).collect();
    let mut runs: Vec<Run> = Vec::new();
    // Arms and evaluations that are a run already.
    let mut known: HashSet<(usize, usize)> = HashSet::new();
    let mut coincide = 0;
    for seed in &experiment.seeds {
        for (point, specs) in experiment.points.iter().zip(&specs) {
            builder.sources.clear();
            builder.models.clear();
            for (place, arm) in experiment.arms.iter().enumerate() {
                let own = point.own.get(place).is_some_and(Option::is_some).then_some(place);
                let at = At { experiment, specs, seed: *seed, own };
                let (made, evaluation) = builder.run(arm, specs.of_arm(place), &at)?;
                if known.contains(&(place, evaluation)) {
                    coincide += 1;
                    continue;
                }
                known.insert((place, evaluation));
                let run_seed = builder.stages[made].seed.unwrap_or(*seed);
                let latency = specs.of_arm(place).latency.is_some().then_some("latency");
                let reads = &builder.stages[evaluation].reads;
                let read = |key: &str| reads.iter().copied().chain(latency).any(|read| overlap(read, key));
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

/// The configurations of a point, which the stages of all seeds share.
struct Specs {
    point: Arc<RunSpec>,
    /// As in [`Point::own`]: the arm's configuration, that of its source, and that of its source scored as the arm is.
    own: Vec<Option<[Arc<RunSpec>; 3]>>,
}

impl Specs {
    fn of(point: &Point) -> Specs {
        let own = |own: &RunSpec| {
            let source = of_source(own, &point.spec);
            let scored = RunSpec { eval: own.eval.clone(), ..source.clone() };
            [own.clone(), source, scored].map(Arc::new)
        };
        let own = point.own.iter().map(|spec| spec.as_ref().map(own)).collect();
        Specs { point: Arc::new(point.spec.clone()), own }
    }

    /// The configuration of the arm at this place.
    fn of_arm(&self, place: usize) -> &Arc<RunSpec> {
        self.own.get(place).and_then(Option::as_ref).map_or(&self.point, |[own, ..]| own)
    }

    /// Those of the arm, or of the source of an arm, that follows `spec`.
    fn beside(&self, spec: &Arc<RunSpec>) -> Option<&[Arc<RunSpec>; 3]> {
        self.own.iter().flatten().find(|own| own.iter().any(|known| Arc::ptr_eq(known, spec)))
    }

    /// The configuration of the source of an arm that follows `spec`, which is one of these.
    fn of_source(&self, spec: &Arc<RunSpec>) -> &Arc<RunSpec> {
        self.beside(spec).map_or(&self.point, |[_, source, _]| source)
    }

    /// The same, scored as the arm is.
    fn of_source_scored(&self, spec: &Arc<RunSpec>) -> &Arc<RunSpec> {
        self.beside(spec).map_or(&self.point, |[.., scored]| scored)
    }
}

/// The configuration of the source of an arm that follows `own` at a point that says `point`: what an arm sets for itself of
/// pruning and training does not change what it starts from.
fn of_source(own: &RunSpec, point: &RunSpec) -> RunSpec {
    RunSpec {
        model: own.model.clone(),
        source: own.source.clone(),
        recovery: own.recovery,
        budget: own.budget.clone(),
        ..point.clone()
    }
}

/// Where in the grid an arm is planned.
struct At<'a> {
    experiment: &'a Experiment,
    specs: &'a Specs,
    seed: u64,
    /// Place of the arm that is planned, where it has a configuration of its own here.
    own: Option<usize>,
}

impl At<'_> {
    /// The arm called `name` with its configuration here; one that is not listed is the built-in one.
    fn named(&self, name: &str) -> Result<(ArmSpec, &Arc<RunSpec>), PlanError> {
        let arms = &self.experiment.arms;
        if let Some(place) = arms.iter().position(|arm| arm.name == name) {
            return Ok((arms[place].clone(), self.specs.of_arm(place)));
        }
        let arm = ArmSpec::built_in(name).ok_or_else(|| PlanError::NoArm { name: name.to_string() })?;
        Ok((arm, &self.specs.point))
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
}

struct Builder {
    engine: serde_json::Value,
    files: Files,
    stages: Vec<Stage>,
    /// Place of the stage with an id.
    places: HashMap<String, usize>,
    /// Keys that stages read; the stages of all seeds share them.
    reads: HashSet<Arc<BTreeSet<&'static str>>>,
    rates: Rc<cost::KnownRates>,
    /// Source and its evaluation at the present point, for arms without a configuration of their own and for each with one.
    sources: HashMap<Option<usize>, (usize, usize)>,
    /// Corpora that are planned, by what they come of.
    corpora: Vec<(Arc<RunSpec>, usize)>,
    /// Sources that are planned at the present point, by kind and configuration.
    models: HashMap<(&'static str, *const RunSpec), usize>,
}

impl Builder {
    /// The model of `arm` and its evaluation, with everything that they need.
    fn run(&mut self, arm: &ArmSpec, spec: &Arc<RunSpec>, at: &At<'_>) -> Result<(usize, usize), PlanError> {
        let corpus = self.corpus(spec)?;
        let made = self.model(arm, spec, at)?;
        let (source, source_evaluation) = match ArmSpec::built_in("source") {
            Some(source) if arm.is_of_source() => {
                let known = self.sources.get(&at.own).copied();
                let (source, evaluation) = match known {
                    Some(places) => places,
                    None => self.run(&source, at.specs.of_source_scored(spec), at)?,
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
            slug: format!("{EVALUATION}{}", slug(arm, seed)),
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

    fn corpus(&mut self, spec: &Arc<RunSpec>) -> Result<usize, PlanError> {
        let same = |(known, _): &&(Arc<RunSpec>, usize)| {
            Arc::ptr_eq(known, spec)
                || known.data.corpus == spec.data.corpus
                    && known.data.tokenizer == spec.data.tokenizer
                    && known.source.model == spec.source.model
        };
        if let Some((_, place)) = self.corpora.iter().find(same) {
            return Ok(*place);
        }
        let identity = self.files.corpus(spec)?;
        let place = self.add(Draft {
            slug: "corpus".into(),
            kind: StageKind::Corpus,
            inputs: Inputs::default(),
            seed: None,
            spec,
            identity,
            set: &[],
            cost: &|| Ok(cost::corpus(&spec.data.corpus)),
        })?;
        self.corpora.push((spec.clone(), place));
        Ok(place)
    }

    /// A fold over the arm's answers: what it starts from, whose widths it takes, whom it learns from, and then itself.
    fn model(&mut self, arm: &ArmSpec, spec: &Arc<RunSpec>, at: &At<'_>) -> Result<usize, PlanError> {
        if let (true, Some(model)) = (arm.is_source(), &spec.source.model) {
            return self.source_model(arm, model, spec);
        }
        let corpus = self.corpus(spec)?;
        let of_source =
            arm.train.is_some_and(|train| matches!(train.tokens, Tokens::Source | Tokens::SourceStable));
        let seed = if of_source { at.source_seed(spec) } else { at.seed };
        let pays_in_flops = matches!(arm.train.map(|train| train.tokens), Some(Tokens::TotalFlops { .. }));
        let mut source_called = |name: &'static str| -> Result<Option<usize>, PlanError> {
            let of_source = at.specs.of_source(spec);
            let key = (name, Arc::as_ptr(of_source));
            if let Some(place) = self.models.get(&key) {
                return Ok(Some(*place));
            }
            let arm = ArmSpec::built_in(name).ok_or_else(|| PlanError::NoArm { name: name.to_string() })?;
            let place = self.model(&arm, of_source, at)?;
            // The address is that of a configuration of the point, which outlives what is known of the point.
            self.models.insert(key, place);
            Ok(Some(place))
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
        spec: &Arc<RunSpec>,
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
        let Some(asked) = self.stages[made].spec.latency else { return Ok(None) };
        let Stage { id, seed, spec, .. } = self.stages[made].clone();
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
        let is_within = |key: &str, set: &str| {
            key.strip_prefix(set).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut reads = identity.reads;
        reads.retain(|key| !set.iter().any(|(set, _)| is_within(key, set)));
        for input in inputs.iter() {
            reads.extend(self.stages[input].reads.iter());
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
    spec: &'a Arc<RunSpec>,
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
