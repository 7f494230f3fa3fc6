//! The only file that names rayon: our own pool, grain, fork, interruption.
//!
//! Work is a range of units cut into chunks that threads take from a counter; every output element is computed by
//! exactly one unit, the same way whichever thread takes it, so results do not depend on the number of threads. The
//! caller's thread works too. Small work never leaves it. Every chunk ends in a fence, for rows may be streamed.
//!
//! After `fork`, a child has the pool's memory but none of its threads, so a pool is valid only in the process that
//! made it; a child leaks the inherited one and makes its own. No lock is held anywhere, for a lock taken by another
//! thread at the moment of the fork would stay taken in the child for ever.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Work units (about one element each) a chunk should have, so that taking it costs nothing in comparison: about 50 µs.
const GRAIN: usize = 1 << 17;

/// Chunks for each thread, so that one slow thread does not keep the others waiting.
const CHUNKS_PER_THREAD: usize = 4;

/// Chunks of at most this many units even on one thread, so that an interruption is noticed in time.
const LONGEST_CHUNK: usize = 1 << 24;

/// What a chunk may take. Costs are estimates: where the first chunk shows that the planned ones would take longer, the
/// rest are shorter.
const LONGEST_TIME: Duration = Duration::from_millis(40);

/// From how many grains on a thread's first chunk is a grain, to measure by: one chunk more in a millisecond or longer.
const MEASURED_FROM: usize = 32;

/// How often the caller's thread asks whether to stop.
const ASKED_EVERY: Duration = Duration::from_millis(80);

static FORCED_GRAIN: AtomicUsize = AtomicUsize::new(0);
static CHOSEN_THREADS: AtomicUsize = AtomicUsize::new(0);
/// Process id and its default thread count, in one word so that they change together.
static DEFAULT_THREADS: AtomicU64 = AtomicU64::new(0);
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());
static INTERRUPTED: OnceLock<fn() -> bool> = OnceLock::new();

struct Pool {
    process: u32,
    workers: usize,
    pool: Option<rayon::ThreadPool>,
}

/// CPUs this process may use: its affinity mask, bounded by a container's quota.
fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn default_threads() -> usize {
    static FROM_ENV: OnceLock<Option<usize>> = OnceLock::new();
    let env = FROM_ENV.get_or_init(|| {
        let text = std::env::var("UPSAMPLE_RS_NUM_THREADS").ok()?;
        text.trim().parse().ok().filter(|&n| n > 0)
    });
    env.unwrap_or_else(available)
}

/// Threads an operation may use, the caller's included. Reads the affinity mask and the quota anew.
#[must_use]
pub fn num_threads() -> usize {
    match CHOSEN_THREADS.load(Ordering::Relaxed) {
        0 => {
            let n = default_threads().min(MAX_THREADS);
            DEFAULT_THREADS.store((u64::from(std::process::id()) << 32) | n as u64, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

thread_local! {
    /// Threads for the operations that this thread calls; 0: as many as any other's.
    static OWN_THREADS: Cell<usize> = const { Cell::new(0) };
}

/// Sets the number of threads for the operations that the calling thread calls, where callers are many; 0 goes back to
/// that of the process. Returns what it was.
///
/// # Errors
/// If `n` exceeds [`MAX_THREADS`].
pub fn set_own_threads(n: usize) -> Result<usize> {
    if n > MAX_THREADS {
        return Err(Error::value(format!("n = {n}: must be from 0 to {MAX_THREADS}")));
    }
    // (A thread that is ending keeps nothing.)
    Ok(OWN_THREADS.try_with(|own| own.replace(n)).unwrap_or(0))
}

/// [`num_threads`], remembering the default for as long as the process lives: asking takes tens of microseconds.
fn num_threads_cached() -> usize {
    match OWN_THREADS.try_with(Cell::get) {
        Ok(0) | Err(_) => {}
        Ok(own) => return own,
    }
    let cached = DEFAULT_THREADS.load(Ordering::Relaxed);
    match CHOSEN_THREADS.load(Ordering::Relaxed) {
        0 if cached >> 32 == u64::from(std::process::id()) => (cached & 0xffff_ffff) as usize,
        _ => num_threads(),
    }
}

/// Most threads that may be asked for.
pub const MAX_THREADS: usize = 1024;

/// Sets the number of threads; 0 goes back to the default.
///
/// # Errors
/// If `n` exceeds [`MAX_THREADS`].
pub fn set_num_threads(n: usize) -> Result<()> {
    if n > MAX_THREADS {
        return Err(Error::value(format!("n = {n}: must be from 1 to {MAX_THREADS}")));
    }
    CHOSEN_THREADS.store(n, Ordering::Relaxed);
    Ok(())
}

/// Forces the number of units in a chunk (0: back to the default), so that tests can split tiny work.
pub fn force_grain(units: usize) {
    FORCED_GRAIN.store(units, Ordering::Relaxed);
}

/// Installs the question asked on the caller's thread, some ten times a second: should this operation stop?
pub fn on_interrupt(ask: fn() -> bool) {
    let _ = INTERRUPTED.set(ask); // a second installation is the same function
}

/// The pool of this process with at least `workers` threads, or none if threads cannot be had.
fn pool(workers: usize) -> Option<&'static rayon::ThreadPool> {
    let process = std::process::id();
    loop {
        let seen = POOL.load(Ordering::Acquire);
        // SAFETY: `seen` is null or came from `Box::into_raw` below and is never freed.
        if let Some(p) = unsafe { seen.as_ref() }
            && p.process == process
            && p.workers >= workers
        {
            return p.pool.as_ref();
        }
        // Growing at least doubles, so the pools left behind stay few. Where no thread can be had (`pool: None`), the
        // work stays on the caller's thread.
        let workers = workers.next_power_of_two();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|i| format!("upsample_rs-{i}"))
            .build()
            .ok();
        let made = Box::into_raw(Box::new(Pool { process, workers, pool }));
        if POOL.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: `made` came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// What work asks in between: whether it should stop.
pub struct Pause<'a> {
    /// Whether the others have been told to.
    stop: Option<&'a AtomicBool>,
    /// On the caller's thread, when it last asked.
    asked: Option<Cell<Option<Instant>>>,
}

impl<'a> Pause<'a> {
    fn new(stop: Option<&'a AtomicBool>, caller: bool) -> Self {
        Self { stop, asked: caller.then(Cell::default) }
    }

    /// Goes on or, if it should, stops. Takes some 30 ns.
    ///
    /// # Errors
    /// [`Error::Interrupted`]: not to be handled, but returned.
    pub fn here(&self) -> Result<()> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Interrupted);
        }
        let (Some(asked), Some(ask)) = (&self.asked, INTERRUPTED.get()) else { return Ok(()) };
        let now = Instant::now();
        let last = asked.get().unwrap_or(now);
        let due = now.duration_since(last) >= ASKED_EVERY;
        asked.set(Some(if due { now } else { last }));
        if due && ask() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// What is done with a part of the units. A reference of one type, so that what follows is compiled once and not for each
/// of the five hundred kinds of work, of which it was a twentieth of the extension.
type Work<'a> = &'a (dyn Fn(Range<usize>, &Pause<'_>) -> Result<()> + Sync);

/// State shared by the threads of one call.
struct Run<'a> {
    next: AtomicUsize,
    stop: AtomicBool,
    failure: OnceLock<Error>,
    total: usize,
    /// Units of a thread's first chunk, and of those that follow.
    first: usize,
    chunk: AtomicUsize,
    /// Threads of the pool that have not ended their part.
    left: AtomicUsize,
    work: Work<'a>,
}

impl Run<'_> {
    /// Takes chunks until none is left.
    fn drain(&self, caller: bool) {
        let pause = Pause::new(Some(&self.stop), caller);
        let mut units = self.first;
        let mut begun = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let start = self.next.fetch_add(units, Ordering::Relaxed);
            if start >= self.total {
                break;
            }
            let end = start.saturating_add(units).min(self.total);
            let done = (self.work)(start..end, &pause);
            super::simd::fence();
            let now = Instant::now();
            self.measured(end - start, now - begun);
            begun = now;
            units = self.chunk.load(Ordering::Relaxed);
            self.keep(done.and_then(|()| pause.here()));
        }
        // Units may be long: the caller goes on asking while others have one. (Not where it is itself a pool's thread, which
        // is wanted for other work.)
        while caller && self.left.load(Ordering::Acquire) > 0 && rayon::current_thread_index().is_none() {
            std::thread::park_timeout(ASKED_EVERY);
            self.keep(pause.here());
        }
    }

    /// Keeps the first failure, and tells all threads to stop.
    fn keep(&self, done: Result<()>) {
        if let Err(e) = done {
            let _ = self.failure.set(e);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Shortens the chunks to come if as many units as they have would take too long.
    fn measured(&self, units: usize, took: Duration) {
        let planned = self.chunk.load(Ordering::Relaxed);
        let longest = LONGEST_TIME.as_nanos().saturating_mul(units as u128) / took.as_nanos().max(1);
        if longest < planned as u128 {
            self.chunk.fetch_min((longest as usize).max(1), Ordering::Relaxed);
        }
    }
}

/// The part of a thread of the pool, which wakes the caller as the last one ends, whichever way.
struct Part<'a>(&'a AtomicUsize, &'a Thread);

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.1.unpark();
        }
    }
}

/// Runs `work` over `0..total`, in parallel where it is worth it. `cost` is the cost of one unit, in elements.
///
/// # Errors
/// The first failure of `work`, or [`Error::Interrupted`]; other chunks may have run.
#[inline]
pub fn for_each<F>(total: usize, cost: usize, work: F) -> Result<()>
where
    F: Fn(Range<usize>) -> Result<()> + Sync,
{
    for_each_long(total, cost, |units, _| work(units))
}

/// [`for_each`], where one unit may be long: `work` pauses now and then.
///
/// # Errors
/// As [`for_each`].
#[inline]
pub fn for_each_long<F>(total: usize, cost: usize, work: F) -> Result<()>
where
    F: Fn(Range<usize>, &Pause<'_>) -> Result<()> + Sync,
{
    run(total, cost, &work)
}

/// [`for_each`], whatever the work.
fn run(total: usize, cost: usize, work: Work<'_>) -> Result<()> {
    if total == 0 {
        return Ok(());
    }
    let cost = cost.max(1);
    let grain = match FORCED_GRAIN.load(Ordering::Relaxed) {
        0 => GRAIN,
        n => n,
    };
    let all = total.saturating_mul(cost);
    if all < 2 * grain {
        let done = work(0..total, &Pause::new(None, true));
        super::simd::fence();
        return done;
    }
    let threads = num_threads_cached().min(total).min(all / grain);
    let even = total.div_ceil(threads * if threads > 1 { CHUNKS_PER_THREAD } else { 1 });
    let chunk = even.max(grain.div_ceil(cost)).min((LONGEST_CHUNK / cost).max(1));
    let first = if all < grain.saturating_mul(MEASURED_FROM) { chunk } else { chunk.min(grain.div_ceil(cost)) };
    let run = Run {
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        failure: OnceLock::new(),
        total,
        first,
        chunk: AtomicUsize::new(chunk),
        left: AtomicUsize::new(0),
        work,
    };
    match if threads > 1 { pool(threads - 1) } else { None } {
        None => run.drain(true),
        Some(pool) => {
            let caller = std::thread::current();
            run.left.store(threads - 1, Ordering::Relaxed);
            pool.in_place_scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|_| {
                        let _part = Part(&run.left, &caller);
                        run.drain(false);
                    });
                }
                run.drain(true);
            });
        }
    }
    run.failure.into_inner().map_or(Ok(()), Err)
}
