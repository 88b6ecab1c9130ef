//! What the program says. A message that cannot be written (a closed pipe, a full disk) is lost; the work goes on.
//!
//! `println!` and `eprintln!` panic then, and a panic while a stage is held would lose the stage.
use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// A line on standard output: what was asked for.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::base::output::say(format_args!($($arguments)*)) };
}

/// A line on standard error: what is told beside it.
macro_rules! tell {
    ($($arguments:tt)*) => { $crate::base::output::tell(format_args!($($arguments)*)) };
}

/// Why standard output was lost, where somebody was still reading it.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line to standard output; use it by `say!`.
pub fn say(line: Arguments<'_>) {
    write_out(&format!("{line}\n"));
}

/// Writes `text` to standard output as it is.
pub fn write_out(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    // Who closes a pipe has read enough.
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Columns of the terminal that standard output is; `None` where it is a file or a pipe.
pub fn columns() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Writes a line to standard error; use it by `tell!`.
pub fn tell(line: Arguments<'_>) {
    // In one piece, so that lines of several threads do not mix. There is nowhere left to say that it failed.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// The first failure to write to standard output so far, other than that nobody reads it any more.
pub fn lost_output() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Standard error for a logger: takes everything and never fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossyStderr;

impl Write for LossyStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
