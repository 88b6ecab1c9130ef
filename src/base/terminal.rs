//! Where progress is drawn: standard error, where it is a terminal.
//!
//! The cursor rests at the end of what was drawn, some columns before the edge of the terminal: the `^C` that a terminal echoes must not
//! begin a new line, or what was drawn above would not be cleared any more.
use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};
use std::io;

/// Columns for what a terminal echoes.
const ECHO: u16 = 5;
/// Redraws in a second, at most.
const REDRAWS: u8 = 20;

/// The terminal to draw progress on; nothing is drawn where there is none.
pub fn draw_target() -> ProgressDrawTarget {
    let terminal = Term::buffered_stderr();
    if terminal.is_term() {
        ProgressDrawTarget::term_like_with_hz(Box::new(Screen(terminal)), REDRAWS)
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Columns that a line of progress can have.
pub fn columns() -> u16 {
    Term::stderr().size().1.saturating_sub(ECHO).max(1)
}

/// A terminal that looks a little narrower than it is.
#[derive(Debug)]
struct Screen(Term);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(ECHO).max(1)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
