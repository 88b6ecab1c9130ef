//! Captures, and calls that wait for the whole context: in one process never both at once.
//!
//! Freeing memory and unloading a module wait for every stream of the context, those of other runs too. "It is invalid to
//! synchronize or query the execution status of … a broader handle which encompasses an active stream capture" (CUDA C++
//! Programming Guide, *Stream Capture*), and what that does to the capture of another thread depends on the driver. Captures
//! do not exclude one another: each has a stream of its own.
use std::cell::Cell;
use std::sync::{PoisonError, RwLock};

/// Held for reading by captures, for writing by calls that wait.
static CAPTURES: RwLock<()> = RwLock::new(());

thread_local! {
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// `capture`, during which no other thread is in [`between_captures`].
pub fn capturing<T>(capture: impl FnOnce() -> T) -> T {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            CAPTURING.set(false);
        }
    }
    let _lock = CAPTURES.read().unwrap_or_else(PoisonError::into_inner);
    CAPTURING.set(true);
    let _ends = Ends;
    capture()
}

/// `wait`, during which no other thread captures. A thread that captures itself gets the driver's refusal, not a deadlock.
pub fn between_captures<T>(wait: impl FnOnce() -> T) -> T {
    let _lock = (!CAPTURING.get()).then(|| CAPTURES.write().unwrap_or_else(PoisonError::into_inner));
    wait()
}
