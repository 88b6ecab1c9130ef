//! A library's panic over what it was given, as a fault like any other.
//!
//! The Arrow and Parquet readers index into buffers by what a file says of itself, and some checks of theirs panic; the
//! hub's client trusts a server's redirects, the tokenizers a file's numbers. No state outlives such a call but its results, which are dropped.
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// The result of `read`, or what it panicked with; nothing is printed of that.
pub(super) fn guarded<R>(read: impl FnOnce() -> R) -> Result<R, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                otherwise(info);
            }
        }));
    });
    let before = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(before);
    result.map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "damaged".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 3), Ok(3));
        let (fixed, formatted): (Result<(), _>, Result<(), _>) =
            (guarded(|| panic!("fixed")), guarded(|| panic!("at {}", 7)));
        assert_eq!((fixed, formatted), (Err("fixed".to_string()), Err("at 7".to_string())));
        assert!(!IS_GUARDED.get());
    }
}
