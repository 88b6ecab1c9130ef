//! The real executor: corpus, models, evaluations and latencies by the engine wing.
mod corpus;
mod evaluation;
mod latency;
mod model;

use super::executor::{Executor, Progress, StageFailure, Task};
use crate::data::Prepared;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::reference::ReferenceNetwork;
use crate::plan::StageKind;
use crate::spec::{ArmSpec, EngineKind};
use crate::tensor::CpuBackend;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Carries out stages on the engine that the plan names.
#[derive(Default)]
pub struct Engine {
    /// Corpora read so far; stages that run at once share one copy.
    corpora: Mutex<HashMap<PathBuf, Arc<Prepared>>>,
}

impl Engine {
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

impl Executor for Engine {
    fn execute(&self, task: &Task<'_>, progress: &dyn Progress) -> Result<(), StageFailure> {
        let backend = CpuBackend::<f32>::new();
        match (task.stage.kind, &task.stage.spec.source.model) {
            (StageKind::Corpus, _) => {
                return corpus::write(task.plan, &task.stage.spec, task.folder, progress);
            }
            (StageKind::Latency(_), _) => return latency::measure(&backend, task, progress),
            (StageKind::Model(ArmSpec::Source), Some(model)) => return model::import(&backend, model, task),
            _ => {}
        }
        let folder = task.inputs.corpus.as_deref().ok_or(model::SummaryError::NoInput("corpus"))?;
        let data = self.corpus(folder)?;
        let mut explicit;
        let mut reference;
        let network: &mut dyn Network<CpuBackend<f32>> = match task.plan.engine {
            EngineKind::Reference => {
                reference = ReferenceNetwork;
                &mut reference
            }
            _ => {
                explicit = ExplicitNetwork::new(&backend);
                &mut explicit
            }
        };
        match task.stage.kind {
            StageKind::Model(arm) => model::make(&backend, network, arm, task, &data, progress),
            StageKind::Evaluation(arm) => evaluation::write(&backend, network, arm, task, &data, progress),
            // Carried out above.
            StageKind::Corpus | StageKind::Latency(_) => Ok(()),
        }
    }
}
