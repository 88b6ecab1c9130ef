//! The real executor: corpus, models and evaluations by the engine wing.
mod corpus;
mod evaluation;
mod model;

use super::executor::{Executor, Progress, StageFailure, Task};
use crate::data::Prepared;
use crate::model::network::{ExplicitNetwork, Network};
use crate::model::reference::ReferenceNetwork;
use crate::plan::StageKind;
use crate::spec::EngineKind;
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
        let folder = match (task.stage.kind, task.inputs.corpus.as_deref()) {
            (StageKind::Corpus, _) | (_, None) => {
                return corpus::write(task.plan, &task.stage.spec.data, task.folder, progress);
            }
            (_, Some(folder)) => folder,
        };
        let data = self.corpus(folder)?;
        let backend = CpuBackend::<f32>::new();
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
            StageKind::Corpus => Ok(()),
        }
    }
}
