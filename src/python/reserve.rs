//! The extension's allocator: the system's, and a reserve for when the system refuses.
//!
//! What grows with the data is allocated so that a refusal becomes a `MemoryError`. Everything else (shapes, messages,
//! lists of a few entries for each axis) is allocated the ordinary way, which aborts the process when memory runs out;
//! a library must not do that to the program it is part of. So these few kilobytes come from static memory then: the
//! call completes, or reaches the next allocation that can be refused. A mebibyte of small cells and two of large ones
//! are far more than all calls of one moment take, and cost nothing until used: untouched static memory has no pages.
//!
//! No lock: cells are claimed in one atomic word each time, so a fork or a refusal in the middle of another thread's
//! claim leaves nothing locked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells of `SIZE` bytes in `WORDS` groups of 64, of which a bit each tells whether it is taken.
#[repr(C, align(4096))]
struct Cells<const SIZE: usize, const WORDS: usize> {
    memory: UnsafeCell<[[[u8; SIZE]; 64]; WORDS]>,
    taken: [AtomicU64; WORDS],
}

// SAFETY: a cell's memory belongs to whoever set its bit.
unsafe impl<const SIZE: usize, const WORDS: usize> Sync for Cells<SIZE, WORDS> {}

impl<const SIZE: usize, const WORDS: usize> Cells<SIZE, WORDS> {
    const fn new() -> Self {
        Self { memory: UnsafeCell::new([[[0; SIZE]; 64]; WORDS]), taken: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// As many low bits as cells are needed for `size` bytes; none if it is more than a group holds.
    fn bits(size: usize) -> Option<u64> {
        match size.div_ceil(SIZE) {
            n @ 1..=63 => Some((1 << n) - 1),
            64 => Some(u64::MAX),
            _ => None,
        }
    }

    /// Memory for `layout`, from the first group with enough free cells in a row.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let bits = Self::bits(layout.size())?;
        if layout.align() > SIZE {
            return None;
        }
        self.taken.iter().enumerate().find_map(|(group, word)| {
            let mut seen = word.load(Ordering::Relaxed);
            loop {
                let at = (0..=bits.leading_zeros()).find(|at| seen & (bits << at) == 0)?;
                match word.compare_exchange_weak(seen, seen | bits << at, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return Some(self.begin().wrapping_add((group * 64 + at as usize) * SIZE)),
                    Err(now) => seen = now,
                }
            }
        })
    }

    fn begin(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// Whether this is memory of a cell.
    #[inline]
    fn holds(&self, memory: *mut u8) -> bool {
        (memory as usize).wrapping_sub(self.begin() as usize) < SIZE * 64 * WORDS
    }

    /// Gives back what [`Cells::take`] gave, and tells whether it was that.
    #[inline]
    fn give_back(&self, memory: *mut u8, layout: Layout) -> bool {
        if !self.holds(memory) {
            return false;
        }
        let cell = (memory as usize - self.begin() as usize) / SIZE;
        if let (Some(bits), Some(word)) = (Self::bits(layout.size()), self.taken.get(cell / 64)) {
            word.fetch_and(!(bits << (cell % 64)), Ordering::Release);
        }
        true
    }
}

static SMALL: Cells<256, 64> = Cells::new();
static LARGE: Cells<32_768, 1> = Cells::new();

/// The system's allocator, then the reserve.
pub struct Reserve;

#[cold]
fn take(layout: Layout) -> *mut u8 {
    SMALL.take(layout).or_else(|| LARGE.take(layout)).unwrap_or(std::ptr::null_mut())
}

// SAFETY: memory is the system's or cells of the reserve, claimed for this layout alone and aligned to it: cells are
// aligned to their size, a power of two. What was taken is given back to where it came from, told apart by its address.
unsafe impl GlobalAlloc for Reserve {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { take(layout) } else { memory }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = take(layout);
        if !memory.is_null() {
            // SAFETY: cells of at least this size.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !SMALL.give_back(memory, layout) && !LARGE.give_back(memory, layout) {
            // SAFETY: not of the reserve, so the system's; the caller's promise for the rest.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let ours = SMALL.holds(memory) || LARGE.holds(memory);
        if !ours {
            // SAFETY: the system's memory; the caller's promise for the rest.
            let grown = unsafe { System.realloc(memory, layout, size) };
            if !grown.is_null() {
                return grown;
            }
        }
        // SAFETY: the caller promises that `size` fits this alignment; both blocks hold what is copied.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            let moved = if ours { self.alloc(wanted) } else { take(wanted) };
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap_or(Layout::new::<u64>())
    }

    #[test]
    fn cells_are_handed_out_once_and_come_back() {
        static CELLS: Cells<256, 2> = Cells::new();
        let sizes = [1, 256, 257, 5000, 16_384];
        for _ in 0..3 {
            let taken: Vec<_> = sizes.iter().map(|&s| (CELLS.take(layout(s)), s)).collect();
            let mut spans: Vec<_> = taken.iter().filter_map(|(p, s)| Some(((*p)? as usize, *s))).collect();
            assert_eq!(spans.len(), sizes.len());
            spans.sort_unstable();
            assert!(spans.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0));
            assert!(CELLS.take(layout(16_384)).is_none(), "full");
            for (memory, size) in taken {
                assert!(memory.is_some_and(|m| CELLS.give_back(m, layout(size))));
            }
        }
        assert!(CELLS.take(layout(16_385)).is_none(), "larger than a group");
        let mut other = 0u8;
        assert!(!CELLS.give_back(&raw mut other, layout(1)));
    }
}
