//! Buffers of packed operands: aligned to cache lines, kept by their thread for the next product.
use std::cell::RefCell;

/// A cache line of pairs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Uninitialised in the sense of its user: it holds what the last one left.
pub struct Buffer {
    lines: Vec<Line>,
}

thread_local! {
    static SPARE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers that a thread keeps: a product uses two, attention some more, held weights two each; and lines of the largest.
const MOST_SPARE: usize = 256;
const MOST_LINES: usize = 1 << 20;

impl Buffer {
    /// Room for `len` pairs (or f32s): the smallest spare buffer that is large enough, else the largest, grown.
    pub fn new(len: usize) -> Self {
        let lines = len.div_ceil(16);
        let mut buffer = SPARE.with_borrow_mut(|spare| {
            let fits = |buffer: &Vec<Line>| buffer.len() >= lines;
            let smallest = (0..spare.len()).filter(|i| fits(&spare[*i])).min_by_key(|i| spare[*i].len());
            let chosen = smallest.or_else(|| (0..spare.len()).max_by_key(|i| spare[*i].len()));
            chosen.map_or_else(Vec::new, |i| spare.swap_remove(i))
        });
        if buffer.len() < lines {
            buffer.resize(lines, Line([0; 16]));
        }
        Buffer { lines: buffer }
    }

    /// Room for nothing.
    pub fn none() -> Self {
        Buffer { lines: Vec::new() }
    }

    pub fn words(&self) -> *const u32 {
        self.lines.as_ptr().cast()
    }

    pub fn words_mut(&mut self) -> *mut u32 {
        self.lines.as_mut_ptr().cast()
    }

    /// The first `len` elements as f32.
    pub fn floats_mut(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= 16 * self.lines.len());
        // SAFETY: lines are 16 initialised words each, any of which is an f32; the alignment is larger.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // At the end of a thread there may be nowhere left to keep it.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST_SPARE && !lines.is_empty() && lines.len() <= MOST_LINES {
                spare.push(lines);
            }
        });
    }
}
