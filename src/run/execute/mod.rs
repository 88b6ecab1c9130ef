//! The real executor: corpus, models, evaluations and latencies by the engine wing.
mod corpus;
mod evaluation;
#[cfg(test)]
mod fuzz_tests;
mod items;
mod latency;
mod model;
mod retry;

use self::items::Items;
use self::retry::with_less_at_once;
use super::executor::{Executor, Progress, StageFailure, Task};
use super::scores::{self, Answers};
use crate::data::Prepared;
use crate::eval::EncodedTask;
use crate::model::engine::{Engine, OnRank};
use crate::model::rank::Rank;
use crate::plan::StageKind;
use crate::record::RunRecord;
use crate::spec::ArmSpec;
use crate::tensor::Backend;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Sources whose answers are kept: workers at neighbouring seeds.
const ANSWERS_KEPT: usize = 8;

/// Carries out stages on the engine that the plan names.
pub struct EngineExecutor {
    /// Devices of one run; worker w is given group w modulo their number.
    groups: Vec<Vec<usize>>,
    /// Corpora read so far; stages that run at once share one copy.
    corpora: Mutex<HashMap<PathBuf, Arc<Prepared>>>,
    /// Answers of sources read last, the last of them last: all that is made from a source is held against them.
    answers: Mutex<Vec<(PathBuf, Arc<Answers>)>>,
    /// What was said on standard error: every run would say the same of a benchmark.
    told: Mutex<HashSet<String>>,
    items: Items,
}

impl EngineExecutor {
    /// An executor that gives each run one of `groups` of devices, at least one; a group has a device for each rank.
    pub fn new(groups: Vec<Vec<usize>>) -> Self {
        let (corpora, answers, told) = (Mutex::default(), Mutex::default(), Mutex::default());
        EngineExecutor { groups, corpora, answers, told, items: Items::default() }
    }

    /// Each group has as many workers as any other, or one more.
    fn devices_of(&self, worker: usize) -> &[usize] {
        &self.groups[worker % self.groups.len()]
    }

    /// Warns of something once.
    fn tell(&self, note: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(note.clone()) {
            tracing::warn!("{note}");
        }
    }

    /// The answers of the model whose evaluation is in `folder`, which its name tells from every other's.
    fn answers(&self, folder: &Path) -> Result<Arc<Answers>, StageFailure> {
        let lock = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(known, _)| known == folder) {
            return Ok(known.clone());
        }
        let read = Arc::new(scores::answers(&RunRecord::read(folder)?.items));
        let mut answers = lock();
        answers.push((folder.to_path_buf(), read.clone()));
        let too_many = answers.len().saturating_sub(ANSWERS_KEPT);
        answers.drain(..too_many);
        Ok(read)
    }

    fn corpus(&self, folder: &Path) -> Result<Arc<Prepared>, StageFailure> {
        let mut corpora = self.corpora.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = corpora.get(folder) {
            return Ok(prepared.clone());
        }
        // Its hashes are checked here, once for all stages of this process.
        let prepared = Arc::new(Prepared::open(folder)?);
        corpora.insert(folder.to_path_buf(), prepared.clone());
        Ok(prepared)
    }
}

impl Executor for EngineExecutor {
    fn execute(&self, task: &Task<'_>, progress: &dyn Progress) -> Result<(), StageFailure> {
        let spec = &task.stage.spec;
        match (&task.stage.kind, &spec.source.model) {
            (StageKind::Corpus, _) => return corpus::write(task.plan, spec, task.folder, progress),
            (StageKind::Model(arm), Some(model)) if arm.is_source() => return model::import(model, task),
            _ => {}
        }
        let devices = self.devices_of(task.worker).to_vec();
        let asked = &task.plan.experiment.engine;
        let engine = Engine::of(asked, task.plan.engine, devices, spec.train.micro_batch);
        let may_halve = task.plan.experiment.engine.halve_micro_batch;
        let corpus = || task.inputs.corpus.as_deref().ok_or(model::SummaryError::NoInput("corpus"));
        match &task.stage.kind {
            StageKind::Model(arm) => {
                let data = self.corpus(corpus()?)?;
                let data = data.as_ref();
                self.items.before(task, data, &|note| self.tell(note))?;
                let make =
                    |engine: &Engine| engine.run_on_ranks(|_| Make { arm, engine, task, data, progress });
                together(with_less_at_once(engine, may_halve, make)?)
            }
            StageKind::Evaluation(arm) => {
                let data = self.corpus(corpus()?)?;
                let data = data.as_ref();
                let benchmarks = self.items.of(task, data)?;
                let benchmarks = benchmarks.as_slice();
                benchmarks.iter().flat_map(EncodedTask::notes).for_each(|note| self.tell(note));
                let answers: &dyn Fn(&Path) -> Result<Arc<Answers>, StageFailure> =
                    &|folder| self.answers(folder);
                let tell: &dyn Fn(String) = &|note| self.tell(note);
                let evaluate = |engine: &Engine| {
                    engine.run(Evaluate { arm, engine, task, data, benchmarks, answers, progress, tell })
                };
                with_less_at_once(engine, may_halve, evaluate)?
            }
            StageKind::Latency(_) => engine.run(Measure { task, progress })?,
            // Carried out above.
            StageKind::Corpus => Ok(()),
        }
    }
}

/// What became of a stage on all of its ranks: of failures the first that is no consequence of another.
fn together(ranks: Vec<Result<(), StageFailure>>) -> Result<(), StageFailure> {
    let mut failures: Vec<StageFailure> = ranks.into_iter().filter_map(Result::err).collect();
    let cause = failures.iter().position(|failure| *failure != StageFailure::RankLeft).unwrap_or(0);
    if failures.is_empty() { Ok(()) } else { Err(failures.swap_remove(cause)) }
}

struct Make<'a> {
    arm: &'a ArmSpec,
    engine: &'a Engine,
    task: &'a Task<'a>,
    data: &'a Prepared,
    progress: &'a dyn Progress,
}

impl OnRank for Make<'_> {
    type Output = Result<(), StageFailure>;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> Self::Output {
        model::make(rank, self.arm, self.engine, self.task, self.data, self.progress)
    }
}

struct Evaluate<'a> {
    arm: &'a ArmSpec,
    engine: &'a Engine,
    task: &'a Task<'a>,
    data: &'a Prepared,
    benchmarks: &'a [EncodedTask],
    /// Those of the model whose evaluation is in a folder.
    answers: &'a dyn Fn(&Path) -> Result<Arc<Answers>, StageFailure>,
    progress: &'a dyn Progress,
    tell: &'a dyn Fn(String),
}

impl OnRank for Evaluate<'_> {
    type Output = Result<(), StageFailure>;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> Self::Output {
        evaluation::write(rank, &self)
    }
}

struct Measure<'a> {
    task: &'a Task<'a>,
    progress: &'a dyn Progress,
}

impl OnRank for Measure<'_> {
    type Output = Result<(), StageFailure>;

    fn on<B: Backend>(self, rank: Rank<'_, B>) -> Self::Output {
        latency::measure(rank.backend, self.task, self.progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataError;
    use crate::eval::EvalError;
    use crate::model::checkpoint::CheckpointError;
    use crate::record::RecordError;
    use crate::run::RunError;
    use crate::tensor::RankError;
    use crate::train::TrainError;

    #[test]
    fn workers_share_the_groups_evenly() {
        let executor = EngineExecutor::new(vec![vec![0, 1], vec![4, 5]]);
        let given: Vec<&[usize]> = (0..5).map(|worker| executor.devices_of(worker)).collect();
        assert_eq!(given, [&[0, 1], &[4, 5], &[0, 1], &[4, 5], &[0, 1]]);
    }

    /// Whatever of a stage was written.
    #[test]
    fn a_full_disk_is_known_as_such() {
        let source = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let path = || PathBuf::from("results");
        let container = safetensors::SafeTensorError::IoError(source());
        let journal = EvalError::Journal { path: path(), source: source() };
        let corpus = DataError::Write { path: path(), source: source() };
        let failures: [StageFailure; 8] = [
            TrainError::CheckpointFile { path: path(), source: source() }.into(),
            CheckpointError::Io { action: "write", path: path(), source: source() }.into(),
            CheckpointError::Container { path: path(), bytes: 0, source: container }.into(),
            EvalError::Data(corpus).into(),
            journal.into(),
            RecordError::Io { path: path(), source: source() }.into(),
            RunError::Write { path: path(), source: source() }.into(),
            source().into(),
        ];
        for failure in failures {
            assert!(matches!(failure, StageFailure::Full(_)), "{failure}");
        }
    }

    #[test]
    fn of_several_failures_the_cause_is_told() {
        let failed = |what: &str| Err(StageFailure::Failed(what.to_string()));
        let left = || Err(StageFailure::from(RankError::Left));
        assert_eq!(left(), Err(StageFailure::RankLeft));
        assert_eq!(together(vec![Ok(()), Ok(())]), Ok(()));
        assert_eq!(together(vec![left(), failed("no memory"), left()]), failed("no memory"));
        assert_eq!(together(vec![left(), Ok(())]), left());
        assert_eq!(together(vec![Err(StageFailure::Interrupted); 2]), Err(StageFailure::Interrupted));
    }
}
