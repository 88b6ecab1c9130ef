//! Going on with less where a device has no memory.
use super::super::executor::StageFailure;
use crate::model::Engine;
use crate::tensor::DeviceError;

/// Does `attempt` with whole micro-batches and then, each time the device is out of memory, with half as many sequences in
/// one pass, where `may_halve`. An attempt goes on from the checkpoint of the one before it.
///
/// # Errors
/// Whatever else goes wrong, and no memory for a single sequence.
pub(super) fn with_less_at_once<T>(
    mut engine: Engine,
    may_halve: bool,
    attempt: impl Fn(&Engine) -> Result<T, DeviceError>,
) -> Result<T, StageFailure> {
    loop {
        match attempt(&engine) {
            Ok(done) => return Ok(done),
            Err(error @ DeviceError::OutOfMemory { .. }) if may_halve && engine.at_once > 1 => {
                engine.at_once = engine.at_once.div_ceil(2);
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                tracing::warn!("{what}; going on with {} sequences in one pass", engine.at_once);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{EngineKind, Precision};
    use std::cell::RefCell;

    /// What a device that holds `holds` sequences is asked for, and how it ends.
    fn asked(micro_batch: usize, holds: usize, may_halve: bool) -> (Vec<usize>, Result<usize, StageFailure>) {
        let engine = Engine { at_once: micro_batch, ..Engine::alone(EngineKind::Cpu, Precision::F32, 0) };
        let asked = RefCell::new(Vec::new());
        let ended = with_less_at_once(engine, may_halve, |engine| {
            asked.borrow_mut().push(engine.at_once);
            let fits = engine.at_once <= holds;
            fits.then_some(engine.at_once).ok_or(DeviceError::OutOfMemory { asked: 4096, free: 512 })
        });
        (asked.into_inner(), ended)
    }

    #[test]
    fn sequences_at_once_are_halved_until_they_fit() {
        assert_eq!(asked(12, 12, true), (vec![12], Ok(12)));
        assert_eq!(asked(12, 4, true), (vec![12, 6, 3], Ok(3)));
        assert_eq!(asked(5, 1, true), (vec![5, 3, 2, 1], Ok(1)));
    }

    #[test]
    fn what_does_not_fit_at_all_or_must_not_be_halved_is_a_failure_with_its_remedy() {
        for (may_halve, attempts) in [(true, vec![2, 1]), (false, vec![2])] {
            let (tried, ended) = asked(2, 0, may_halve);
            assert_eq!(tried, attempts);
            let Err(StageFailure::Failed(reason)) = ended else { panic!("{ended:?}") };
            assert!(
                reason.starts_with("out of device memory: asked for 4096 bytes with 512 bytes free\nhint: ")
            );
        }
    }

    #[test]
    fn other_failures_are_not_tried_again() {
        let tried = RefCell::new(0);
        let engine = Engine { at_once: 8, ..Engine::alone(EngineKind::Cpu, Precision::F32, 0) };
        let ended = with_less_at_once(engine, true, |_| -> Result<(), _> {
            *tried.borrow_mut() += 1;
            Err(DeviceError::NoSuchDevice { index: 3, count: 2, nearest: "1".into() })
        });
        assert_eq!(*tried.borrow(), 1);
        assert!(
            matches!(ended, Err(StageFailure::Failed(reason)) if reason.contains("nearest valid device: 1"))
        );
    }
}
