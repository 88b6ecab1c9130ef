//! Failures of a device in the middle of an operation.
//!
//! [`Backend`](super::Backend)'s operations return no errors: model code would be all question marks for faults that no
//! caller in between can do anything about. A device that runs out of memory unwinds with its typed error instead, and
//! whoever carries out the run catches it there and decides.
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Unwinds with `error`, without the message of a panic, up to the next [`caught`].
pub fn raise<E: Error + Send + 'static>(error: E) -> ! {
    resume_unwind(Box::new(error))
}

/// What `work` returns, or the `E` that was raised in it; panics go on.
///
/// # Errors
/// The error handed to [`raise`].
pub fn caught<E: Error + Send + 'static, T>(work: impl FnOnce() -> T) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<E>() {
        Ok(error) => *error,
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::RankError;

    #[test]
    fn errors_arrive_typed_and_panics_go_on() {
        assert_eq!(caught::<RankError, _>(|| 7), Ok(7));
        assert_eq!(caught::<RankError, ()>(|| raise(RankError::Left)), Err(RankError::Left));
        let panic = catch_unwind(|| caught::<RankError, ()>(|| resume_unwind(Box::new("a defect"))));
        assert_eq!(panic.expect_err("it goes on").downcast_ref(), Some(&"a defect"));
    }
}
