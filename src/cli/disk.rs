//! What results will take of the disk: all of it, and what is left of it where models are discarded once they are scored.
//!
//! ```text
//! all         D = Σ bytes of the stages that are left
//! discarded   D − Σ m + w · max m       m bytes of the final models among them, w workers: each holds one at a time
//! ```
use crate::base::units::si;
use crate::plan::Plan;
use crate::run::{FinalModels, StageKey, StageState, Store};

/// What discarding must save to be spoken of, in bytes.
const WORTH_TELLING: u64 = 1_000_000_000;

/// Bytes that are still to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    all: u64,
    /// Where models are discarded.
    discarded: u64,
}

impl Disk {
    pub fn of(plan: &Plan, states: &[StageState], keys: &[StageKey], store: &Store, workers: usize) -> Self {
        let is_left = |place: &usize| states[*place] == StageState::Waiting;
        let bytes = |place: usize| plan.stages[place].cost.disk_bytes;
        let all = (0..plan.stages.len()).filter(is_left).map(bytes).sum();
        let models: Vec<u64> =
            FinalModels::of(plan, keys, store).places().filter(is_left).map(bytes).collect();
        let (sum, most) = (models.iter().sum::<u64>(), models.iter().max().copied().unwrap_or(0));
        let held = most * workers.min(models.len()) as u64;
        Disk { all, discarded: all - sum + held.min(sum) }
    }

    /// In words, where so many bytes are `free`.
    pub fn describe(self, free: Option<u64>) -> String {
        let gb = |bytes: u64| si(bytes as f64, "B");
        let mut text = format!("about {}", gb(self.all));
        if self.all - self.discarded >= WORTH_TELLING {
            text += &format!(", {} with `run --discard-models`", gb(self.discarded));
        }
        match free {
            Some(free) if free < self.all => text + &format!("\nwarning: only {} are free there", gb(free)),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::run::keys;
    use crate::spec::{self, EngineKind, no_model};
    use std::path::Path;

    #[test]
    fn what_can_be_discarded_and_what_is_missing_is_told() {
        let disk = Disk { all: 43_000_000_000, discarded: 1_300_000_000 };
        assert_eq!(disk.describe(None), "about 43.0 GB, 1.30 GB with `run --discard-models`");
        assert_eq!(disk.describe(Some(50_000_000_000)), disk.describe(None));
        let warned = disk.describe(None) + "\nwarning: only 12.0 GB are free there";
        assert_eq!(disk.describe(Some(12_000_000_000)), warned);
        let little = Disk { all: 900_000_000, discarded: 0 };
        assert_eq!(little.describe(Some(1_000_000_000)), "about 900 MB");
    }

    /// The source stays, because the others start from it; of the others each worker holds one.
    #[test]
    fn final_models_are_what_can_be_discarded() {
        let text = include_str!("../../tests/fixtures/example.toml");
        let experiment = spec::parse(text, "test", Path::new("/nowhere"), &no_model).unwrap();
        let plan = plan(&experiment, EngineKind::Cpu).unwrap();
        let store = Store::at(Path::new("/nowhere"));
        let keys = keys(&plan);
        let mut states = vec![StageState::Waiting; plan.stages.len()];
        let of = |states: &[StageState], workers| Disk::of(&plan, states, &keys, &store, workers);
        let models: Vec<usize> = FinalModels::of(&plan, &keys, &store).places().collect();
        assert!(models.iter().all(|place| !plan.stages[*place].id.starts_with("source-")), "{models:?}");
        let bytes = |place: &usize| plan.stages[*place].cost.disk_bytes;
        let (sum, most) = (models.iter().map(bytes).sum::<u64>(), models.iter().map(bytes).max().unwrap());
        assert!(!models.is_empty() && most > 0);
        let (one, two) = (of(&states, 1), of(&states, 2));
        assert_eq!((one.all - one.discarded, two.all - two.discarded), (sum - most, sum - 2 * most));
        // What is there already is not written again.
        models.iter().for_each(|place| states[*place] = StageState::Done);
        let rest = of(&states, 2);
        assert_eq!((rest.all, rest.discarded), (one.all - sum, one.all - sum));
    }
}
