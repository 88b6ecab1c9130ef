//! Where progress is drawn: standard error, where it is a terminal.
//!
//! The cursor rests at the end of what was drawn, some columns before the edge of the terminal: the `^C` that a terminal echoes must not
//! begin a new line, or what was drawn above would not be cleared any more.
//!
//! indicatif fills every line with spaces up to the width that it is told, so that the terminal begins the next one. On a terminal that is
//! wider than it is told nothing would: the lines are ended here.
use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Columns for what a terminal echoes.
const ECHO: u16 = 5;
/// Redraws in a second, at most.
const REDRAWS: u8 = 20;

/// The terminal to draw progress on; nothing is drawn where there is none.
pub fn draw_target() -> ProgressDrawTarget {
    let terminal = Term::buffered_stderr();
    if terminal.is_term() { on(terminal) } else { ProgressDrawTarget::hidden() }
}

/// Draws on `terminal`, and leaves its last columns alone.
fn on(terminal: impl TermLike + 'static) -> ProgressDrawTarget {
    let screen = Screen { terminal, column: AtomicUsize::new(0) };
    ProgressDrawTarget::term_like_with_hz(Box::new(screen), REDRAWS)
}

/// Columns that a line of progress can have.
pub fn columns() -> u16 {
    width(&Term::stderr())
}

fn width(terminal: &impl TermLike) -> u16 {
    terminal.width().saturating_sub(ECHO).max(1)
}

/// A terminal that looks a little narrower than it is.
#[derive(Debug)]
struct Screen<T> {
    terminal: T,
    /// Columns that have been written of the line that the cursor is on.
    column: AtomicUsize,
}

impl<T> Screen<T> {
    fn at(&self, column: usize) {
        self.column.store(column, Ordering::Relaxed);
    }
}

impl<T: TermLike> TermLike for Screen<T> {
    fn width(&self) -> u16 {
        width(&self.terminal)
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.at(0);
        self.terminal.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let columns = console::measure_text_width(text);
        let column = if text == "\r" { 0 } else { self.column.load(Ordering::Relaxed) };
        let is_next_line = columns > 0 && column >= usize::from(self.width());
        if is_next_line {
            self.terminal.write_line("")?;
        }
        self.at(if is_next_line { columns } else { column + columns });
        self.terminal.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.at(0);
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
    use std::sync::{Arc, Mutex};

    /// A terminal as far as progress is drawn: lines, and where the cursor is. A line that is full is gone on with in the next.
    #[derive(Clone, Debug)]
    struct Paper {
        columns: u16,
        shown: Arc<Mutex<(Vec<String>, usize, usize)>>,
    }

    impl Paper {
        fn new(columns: u16) -> Self {
            Paper { columns, shown: Arc::new(Mutex::new((vec![String::new(); 20], 0, 0))) }
        }

        fn lines(&self) -> Vec<String> {
            let shown = self.shown.lock().unwrap();
            shown.0.iter().map(|line| line.trim_end().to_string()).filter(|line| !line.is_empty()).collect()
        }

        fn put(&self, text: &str) {
            let (lines, row, column) = &mut *self.shown.lock().unwrap();
            for c in text.chars() {
                if *column == usize::from(self.columns) && c != '\n' && c != '\r' {
                    (*row, *column) = (*row + 1, 0);
                }
                match c {
                    '\n' => (*row, *column) = (*row + 1, 0),
                    '\r' => *column = 0,
                    c => {
                        let mut line: Vec<char> = lines[*row].chars().collect();
                        line.resize(line.len().max(*column + 1), ' ');
                        line[*column] = c;
                        lines[*row] = line.into_iter().collect();
                        *column += 1;
                    }
                }
            }
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.columns
        }
        fn move_cursor_up(&self, n: usize) -> io::Result<()> {
            self.shown.lock().unwrap().1 -= n;
            Ok(())
        }
        fn move_cursor_down(&self, n: usize) -> io::Result<()> {
            self.shown.lock().unwrap().1 += n;
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            unreachable!("progress moves up and down")
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            unreachable!("progress moves up and down")
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.put(&format!("{text}\n"));
            Ok(())
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.put(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            let (lines, row, column) = &mut *self.shown.lock().unwrap();
            lines[*row].clear();
            *column = 0;
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Each bar has a line of its own, cut off before the columns of the echo, and none is left in the end.
    #[test]
    fn bars_have_lines_of_their_own_in_any_width_and_leave_none_behind() {
        for columns in [40, 80, 200] {
            let paper = Paper::new(columns);
            let bars = MultiProgress::with_draw_target(on(paper.clone()));
            let style = || ProgressStyle::with_template("{pos:>3} %  {wide_msg}").unwrap();
            let bar = |message: &str| {
                let bar = bars.add(ProgressBar::new(100).with_style(style()));
                bar.set_message(message.to_string());
                bar
            };
            let all = [bar(&"a long name ".repeat(9)), bar("short"), bar("2/12 runs")];
            for position in 1..=5 {
                all.iter().for_each(|bar| bar.set_position(position));
                std::thread::sleep(std::time::Duration::from_millis(60));
                all.iter().for_each(ProgressBar::tick);
            }
            let lines = paper.lines();
            assert_eq!(lines.len(), 3, "{lines:#?}");
            let begins = ["  5 %  a long name", "  5 %  short", "  5 %  2/12 runs"];
            for (line, begin) in lines.iter().zip(begins) {
                assert!(
                    line.starts_with(begin) && line.chars().count() <= usize::from(columns - ECHO),
                    "{lines:#?}"
                );
            }
            all.iter().for_each(ProgressBar::finish_and_clear);
            bars.clear().unwrap();
            assert_eq!(paper.lines(), [""; 0], "{columns}");
        }
    }
}
