//! A thread's memory for what it works with.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};

/// A line of the cache, and the longest vector.
const LINE: usize = 64;

/// As many bytes of whatever.
pub type Line = [u64; LINE / 8];

/// Bytes of memory whose beginning matters: less is not read in whole vectors often enough.
const LEAST: usize = 512;

/// Elements from the beginning of a line of the cache on, so that no vector of a row lies across two; default ones until
/// they are written. (Vectors of AVX-512 that do lie across two take twice as long to read: bicubic resizing took a
/// quarter longer with memory as the allocator gives it.)
#[derive(Debug)]
pub struct Room<T> {
    memory: Vec<T>,
    first: usize,
    len: usize,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self { memory: Vec::new(), first: 0, len: 0 }
    }
}

impl<T> Deref for Room<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.memory[self.first..][..self.len]
    }
}

impl<T> DerefMut for Room<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.first..][..self.len]
    }
}

/// Memory of `n` default elements.
///
/// # Errors
/// [`Error::Memory`] if it cannot be allocated.
pub fn scratch<T: Copy + Default>(n: usize) -> Result<Room<T>> {
    let long = n.saturating_mul(size_of::<T>()) >= LEAST;
    let spare = if long { LINE / size_of::<T>().clamp(1, LINE) } else { 0 };
    let mut memory = Vec::new();
    let refused = |_| Error::memory(format!("cannot allocate scratch for {n} elements"));
    memory.try_reserve_exact(n.saturating_add(spare)).map_err(refused)?;
    memory.resize(n + spare, T::default());
    // (Not to be had for elements that no number of reaches the next line.)
    let first = memory.as_ptr().align_offset(LINE);
    Ok(Room { first: if first <= spare { first } else { 0 }, len: n, memory })
}

/// Makes room for `n` elements.
///
/// # Errors
/// [`Error::Memory`] if there is none.
pub fn grow<T: Copy + Default>(room: &mut Room<T>, n: usize) -> Result<()> {
    if room.len() < n {
        *room = scratch(n)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins<T: Copy + Default>() -> Result<()> {
        for n in [0, 1, 7, 63, 64, 65, 200, 1000, 4097] {
            let mut room = scratch::<T>(n)?;
            assert_eq!(room.len(), n);
            if n * size_of::<T>() >= LEAST && size_of::<T>().is_power_of_two() {
                assert_eq!(room.as_ptr() as usize % LINE, 0);
            }
            let held = room.as_ptr();
            grow(&mut room, n / 2)?;
            assert_eq!((room.len(), room.as_ptr()), (n, held));
            grow(&mut room, n + 1)?;
            assert_eq!(room.len(), n + 1);
        }
        Ok(())
    }

    #[test]
    fn room_is_as_long_as_was_asked_and_begins_a_line() -> Result<()> {
        begins::<u8>()?;
        begins::<f32>()?;
        begins::<f64>()?;
        begins::<[f64; 2]>()?;
        begins::<[u8; 3]>()?;
        begins::<()>()
    }

    #[test]
    fn too_much_is_refused() {
        assert!(scratch::<f64>(usize::MAX).is_err());
        assert!(scratch::<f64>(usize::MAX / 8).is_err());
    }
}
