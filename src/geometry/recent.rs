//! The tables a thread made last. A stream of images of one size asks for the same ones for every image; making them took a
//! fifth of a call on an array of 4 x 4, and a tenth where a sine is taken for each weight.
//!
//! A thread has its own, so there is no lock that a fork could leave taken, and they are few and small.

use std::cell::RefCell;

use super::sampler::Sampler;
use super::taps::Taps;
use crate::error::Result;

/// Tables kept: both axes of two sizes, and of the way back.
const MOST: usize = 8;

/// Entries of the largest table kept, some 64 KiB of it.
const LARGEST: usize = 1 << 13;

#[derive(Default)]
struct Recent {
    tables: Vec<(Sampler, Taps)>,
    /// The place of the next one.
    next: usize,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// A copy of the table made for the same axis a short while ago, or what `make` makes.
///
/// # Errors
/// As `make`; if the copy cannot be allocated.
pub fn table(of: &Sampler, make: impl FnOnce() -> Result<Taps>) -> Result<Taps> {
    let found = RECENT.try_with(|recent| {
        let recent = recent.borrow();
        recent.tables.iter().find(|(sampler, _)| sampler == of).map(|(_, taps)| taps.copied())
    });
    if let Ok(Some(copy)) = found {
        return copy;
    }
    let made = make()?;
    if made.entries() <= LARGEST {
        // Without the memory for it, nothing is kept.
        let _ = made.copied().map(|copy| keep(of, copy));
    }
    Ok(made)
}

fn keep(of: &Sampler, taps: Taps) {
    // (A thread that is ending keeps nothing.)
    let _ = RECENT.try_with(|recent| {
        let Recent { tables, next } = &mut *recent.borrow_mut();
        let one = (of.clone(), taps);
        if tables.len() < MOST {
            if tables.try_reserve_exact(MOST.saturating_sub(tables.len())).is_ok() {
                tables.push(one);
            }
        } else {
            tables[*next] = one;
            *next = next.wrapping_add(1) % MOST;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::coords::{AxisMap, Rule};
    use super::super::filter::Filter;
    use super::super::sampler::{Method, Outside};
    use super::*;

    fn axis(in_len: usize, antialias: bool) -> Result<Sampler> {
        let map = AxisMap { in_len, out_len: 30, rule: Rule::HalfPixel };
        Sampler::new(map, Method::Filtered { filter: Filter::Lanczos(3), antialias }, Outside::default())
    }

    #[test]
    fn a_table_is_that_of_its_own_axis() -> Result<()> {
        // More axes than are kept, twice: some tables are found and some are made again.
        for n in (20..35).chain(20..35).flat_map(|n| [n, n]) {
            for antialias in [false, true] {
                let sampler = axis(n, antialias)?;
                assert_eq!(sampler.taps()?, sampler.made()?, "{n}");
            }
        }
        Ok(())
    }

    #[test]
    fn few_tables_are_kept_and_no_large_ones() -> Result<()> {
        for n in 40..80 {
            axis(n, true)?.taps()?;
        }
        axis(100_000, true)?.taps()?; // some 20,000 weights for each output
        RECENT.with(|recent| {
            let tables = &recent.borrow().tables;
            assert_eq!(tables.len(), MOST);
            assert!(tables.iter().all(|t| t.1.entries() <= LARGEST));
        });
        Ok(())
    }
}
