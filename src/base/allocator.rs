//! The allocator: large pieces of memory begin at a cache line.
//!
//! The C library begins large pieces 16 bytes behind the start of a page, where each vector of 64 bytes lies in two cache lines, and
//! half of the loads and stores of every kernel would be done twice.
use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a cache line, and of the largest vector.
const LINE: usize = 64;
/// Bytes from which on a piece is large.
const LARGE: usize = 1 << 14;

/// The allocator of the operating system, with large pieces aligned. Programs choose it (`main.rs`, the benches), not this library: a
/// crate that uses it may have chosen another.
pub struct LineAllocator;

/// What the system is asked for: the same for the same layout, so that a piece is given back as it was taken.
fn asked(layout: Layout) -> Layout {
    if layout.size() < LARGE { layout } else { layout.align_to(LINE).unwrap_or(layout) }
}

// SAFETY: all of it is done by `System`, whose contract is kept: pieces are given back with the layout that they were taken with.
unsafe impl GlobalAlloc for LineAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc(asked(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(asked(layout)) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract; taken with the same layout.
        unsafe { System.dealloc(pointer, asked(layout)) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size().max(size) < LARGE {
            // SAFETY: the caller's contract; taken with the same layout, and to be given back with one of the same alignment.
            return unsafe { System.realloc(pointer, layout, size) };
        }
        // SAFETY: the caller's contract: `size` is a valid one for this alignment.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(pointer, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: LineAllocator = LineAllocator;

    /// Large pieces begin at a line, zeroed ones hold zeros, and what grows or shrinks past the border keeps what it held.
    #[test]
    fn large_pieces_begin_at_a_line_and_keep_their_content() {
        let is_aligned = |values: &[u32]| (values.as_ptr() as usize).is_multiple_of(LINE);
        let words = LARGE / size_of::<u32>();
        for len in [words, words + 1, 5 * words + 3] {
            let zeros = vec![0u32; len];
            assert!(is_aligned(&zeros) && zeros.iter().all(|&x| x == 0), "{len}");
            assert!(is_aligned(&vec![7u32; len]), "{len}");
        }
        let mut growing = Vec::new();
        for i in 0..3 * words as u32 {
            growing.push(i);
            assert!(growing.capacity() < words || is_aligned(&growing), "{i}");
        }
        growing.truncate(words / 2);
        growing.shrink_to_fit();
        assert!((0..words as u32 / 2).eq(growing.iter().copied()));
    }
}
