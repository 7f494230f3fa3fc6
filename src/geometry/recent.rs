//! The tables a thread made last. A stream of images of one size asks for the same ones for every image, and the chunks of
//! an array for each of its pieces. Making them took a fifth of a call on an array of 4 x 4, a tenth where a sine is taken
//! for each weight, and as long as to resize a megabyte where all that is wanted is a part of a long axis.
//!
//! A thread has its own, so there is no lock that a fork could leave taken, and they are few.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::LocalKey;

use super::phase::{Links, Phases};
use super::sampler::Sampler;
use super::taps::Taps;
use crate::error::Result;

/// Tables of a kind kept: both axes of two sizes, and of the way back; the axes of a few layers.
const MOST: usize = 8;

/// Entries of the largest table kept, 1 MiB of it.
const LARGEST: usize = 1 << 17;

/// Taps of the longest kernel whose phases are kept.
const LONGEST: usize = 1 << 10;

/// Tables of one kind, and what each is of.
struct Recent<K, T> {
    tables: Vec<(K, Arc<T>)>,
    /// The place of the next one.
    next: usize,
}

type Kept<K, T> = LocalKey<RefCell<Recent<K, T>>>;

thread_local! {
    static TAPS: RefCell<Recent<(Sampler, bool), Taps>> = const { RefCell::new(Recent::new()) };
    static PHASES: RefCell<Recent<Links, Vec<Phases>>> = const { RefCell::new(Recent::new()) };
}

impl<K, T> Recent<K, T> {
    const fn new() -> Self {
        Self { tables: Vec::new(), next: 0 }
    }

    fn keep(&mut self, of: K, table: Arc<T>) {
        let Self { tables, next } = self;
        if tables.len() < MOST {
            // Without the memory for it, nothing is kept.
            if tables.try_reserve_exact(MOST.saturating_sub(tables.len())).is_ok() {
                tables.push((of, table));
            }
        } else {
            tables[*next] = (of, table);
            *next = next.wrapping_add(1) % MOST;
        }
    }
}

/// The table of the same thing, made a short while ago, or what `make` makes; that is kept if it has a `key`. (A thread
/// that is ending keeps nothing.)
fn recent<K, T>(
    kept: &'static Kept<K, T>,
    same: impl Fn(&K) -> bool,
    make: impl FnOnce() -> Result<T>,
    key: impl FnOnce(&T) -> Option<K>,
) -> Result<Arc<T>> {
    let find = |recent: &Recent<K, T>| recent.tables.iter().find(|t| same(&t.0)).map(|t| Arc::clone(&t.1));
    if let Ok(Some(table)) = kept.try_with(|recent| find(&recent.borrow())) {
        return Ok(table);
    }
    let table = Arc::new(make()?);
    if let Some(of) = key(&table) {
        let _ = kept.try_with(|recent| recent.borrow_mut().keep(of, Arc::clone(&table)));
    }
    Ok(table)
}

/// The table made for the same axis, or for the way back along it, a short while ago, or what `make` makes.
///
/// # Errors
/// As `make`.
pub fn table(of: &Sampler, transposed: bool, make: impl FnOnce() -> Result<Taps>) -> Result<Arc<Taps>> {
    let key = |taps: &Taps| (taps.entries() <= LARGEST).then(|| (of.clone(), transposed));
    recent(&TAPS, |t| t.1 == transposed && t.0 == *of, make, key)
}

/// The phases made of the same links a short while ago, or what `make` makes.
///
/// # Errors
/// As `make`.
pub fn phases(of: &Links, make: impl FnOnce() -> Result<Vec<Phases>>) -> Result<Arc<Vec<Phases>>> {
    recent(&PHASES, |links| links == of, make, |_| (of.runs.len() <= LONGEST).then(|| of.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::coords::{AxisMap, Rule};
    use super::super::filter::Filter;
    use super::super::sampler::{Method, Outside};
    use super::super::window::Pad;
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
        TAPS.with(|recent| {
            let tables = &recent.borrow().tables;
            assert_eq!(tables.len(), MOST);
            assert!(tables.iter().all(|t| t.1.entries() <= LARGEST));
            assert!((80 - MOST..80).all(|n| tables.iter().any(|t| t.0.0.map().in_len == n)));
        });
        Ok(())
    }

    fn links(in_len: usize, kernel: usize) -> Result<Links> {
        Links::transposed(in_len, 2 * in_len + kernel - 2, kernel, 2, 1, Pad::default())
    }

    #[test]
    fn phases_are_those_of_their_own_links() -> Result<()> {
        for n in (20..35).chain(20..35).flat_map(|n| [n, n]) {
            let links = links(n, 5)?;
            for links in [links.swapped(), links] {
                let phases = links.phases()?;
                assert_eq!(*phases, links.made()?, "{n}");
                assert!(Arc::ptr_eq(&phases, &links.phases()?), "{n}");
            }
        }
        links(9_000, LONGEST + 1)?.phases()?;
        links(9_000, LONGEST)?.phases()?;
        PHASES.with(|recent| {
            let tables = &recent.borrow().tables;
            assert_eq!(tables.len(), MOST);
            assert_eq!(tables.iter().map(|t| t.0.runs.len()).max(), Some(LONGEST));
        });
        Ok(())
    }
}
