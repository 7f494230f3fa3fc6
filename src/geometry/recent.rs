//! The tables a thread made last. A stream of images of one size asks for the same ones for every image, and the chunks of
//! an array for each of its pieces. Making them took a fifth of a call on an array of 4 x 4, a tenth where a sine is taken
//! for each weight, and as long as to resize a megabyte where all that is wanted is a part of a long axis.
//!
//! A thread has its own, so there is no lock that a fork could leave taken, and they are few.

use std::cell::RefCell;
use std::sync::Arc;

use super::sampler::Sampler;
use super::taps::Taps;
use crate::error::Result;

/// Tables kept: both axes of two sizes, and of the way back.
const MOST: usize = 8;

/// Entries of the largest table kept, 1 MiB of it.
const LARGEST: usize = 1 << 17;

struct Table {
    of: Sampler,
    transposed: bool,
    taps: Arc<Taps>,
}

#[derive(Default)]
struct Recent {
    tables: Vec<Table>,
    /// The place of the next one.
    next: usize,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// The table made for the same axis, or for the way back along it, a short while ago, or what `make` makes.
///
/// # Errors
/// As `make`.
pub fn table(of: &Sampler, transposed: bool, make: impl FnOnce() -> Result<Taps>) -> Result<Arc<Taps>> {
    let found = RECENT.try_with(|recent| {
        let recent = recent.borrow();
        let same = |t: &&Table| t.transposed == transposed && t.of == *of;
        recent.tables.iter().find(same).map(|t| Arc::clone(&t.taps))
    });
    if let Ok(Some(taps)) = found {
        return Ok(taps);
    }
    let taps = Arc::new(make()?);
    if taps.entries() <= LARGEST {
        keep(Table { of: of.clone(), transposed, taps: Arc::clone(&taps) });
    }
    Ok(taps)
}

fn keep(table: Table) {
    // (A thread that is ending keeps nothing.)
    let _ = RECENT.try_with(|recent| {
        let Recent { tables, next } = &mut *recent.borrow_mut();
        if tables.len() < MOST {
            // Without the memory for it, nothing is kept.
            if tables.try_reserve_exact(MOST.saturating_sub(tables.len())).is_ok() {
                tables.push(table);
            }
        } else {
            tables[*next] = table;
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
                assert_eq!(*sampler.taps(false)?, sampler.made()?, "{n}");
                assert_eq!(*sampler.taps(true)?, sampler.made()?.transposed()?, "{n}");
            }
        }
        Ok(())
    }

    #[test]
    fn few_tables_are_kept_the_last_ones_and_no_large_ones() -> Result<()> {
        for n in 40..80 {
            axis(n, true)?.taps(false)?;
        }
        axis(100_000, true)?.taps(false)?; // some 20,000 weights for each output
        RECENT.with(|recent| {
            let tables = &recent.borrow().tables;
            assert_eq!(tables.len(), MOST);
            assert!(tables.iter().all(|t| t.taps.entries() <= LARGEST));
            assert!((80 - MOST..80).all(|n| tables.iter().any(|t| t.of.map().in_len == n)));
        });
        Ok(())
    }
}
