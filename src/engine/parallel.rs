//! The only file that names rayon: our own pool, grain, fork, interruption.
//!
//! Work is a range of units cut into chunks that threads take from a counter; every output element is computed by
//! exactly one unit, the same way whichever thread takes it, so results do not depend on the number of threads. The
//! caller's thread works too. Small work never leaves it. Every chunk ends in a fence, for rows may be streamed.
//!
//! After `fork`, a child has the pool's memory but none of its threads, so a pool is valid only in the process that
//! made it; a child leaks the inherited one and makes its own. No lock is held anywhere, for a lock taken by another
//! thread at the moment of the fork would stay taken in the child for ever.

use std::any::Any;
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::apart::Apart;
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

/// How long who waits stays awake: the caller for the others' last chunks, the others for the next call. Waking a thread
/// takes 25 to 80 µs.
const SPIN: Duration = Duration::from_micros(100);

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
    apart: Arc<Apart>,
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
    /// Whether what this thread calls is a part of what several threads do: whoever called those is asked, nobody here. (A thread
    /// of the pool would wait for Python, which the caller may hold while it waits for that thread.)
    static PART: Cell<bool> = const { Cell::new(false) };
}

/// Whether work that this thread calls may ask whether to stop.
fn may_ask() -> bool {
    !PART.try_with(Cell::get).unwrap_or(false)
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

/// Has `work` done by the calling thread alone, whatever it calls: as a part of what several threads do.
///
/// # Errors
/// Those of `work`.
pub fn alone(work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    struct Before(usize, bool);
    impl Drop for Before {
        fn drop(&mut self) {
            let _ = OWN_THREADS.try_with(|own| own.set(self.0));
            let _ = PART.try_with(|part| part.set(self.1));
        }
    }
    let threads = OWN_THREADS.try_with(|own| own.replace(1)).unwrap_or(0);
    let _before = Before(threads, PART.try_with(|part| part.replace(true)).unwrap_or(false));
    work()
}

/// The threads of the calling thread's operations: [`num_threads`], remembering the default for as long as the process
/// lives (asking takes tens of microseconds), or its own number.
pub(crate) fn threads() -> usize {
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
fn pool(workers: usize) -> Option<(&'static rayon::ThreadPool, &'static Apart)> {
    let process = std::process::id();
    loop {
        let seen = POOL.load(Ordering::Acquire);
        // SAFETY: `seen` is null or came from `Box::into_raw` below and is never freed.
        if let Some(p) = unsafe { seen.as_ref() }
            && p.process == process
            && p.workers >= workers
        {
            return p.pool.as_ref().map(|pool| (pool, &*p.apart));
        }
        // Growing at least doubles, so the pools left behind stay few. Where no thread can be had (`pool: None`), the
        // work stays on the caller's thread.
        let workers = workers.next_power_of_two();
        let apart = Arc::new(Apart::new(workers));
        let waiting = Arc::clone(&apart);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .start_handler(move |i| waiting.started(i))
            .thread_name(|i| format!("upsample_rs-{i}"))
            .build()
            .ok();
        let made = Box::into_raw(Box::new(Pool { process, workers, pool, apart }));
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

/// What a thread does with the chunks it takes. A reference of one type, so that what follows is compiled once and not for
/// each of the five hundred kinds of work, of which it was a twentieth of the extension.
type Work<'a> = &'a (dyn Fn(&mut Chunks<'_>) -> Result<()> + Sync);

/// The chunks that one thread takes.
struct Chunks<'a> {
    /// Where they are taken from; none: there is a single one.
    run: Option<&'a Run<'a>>,
    pause: Pause<'a>,
    /// Units of the next one.
    units: usize,
    /// When the last one of a run was begun, and its units.
    begun: Option<Instant>,
    last: usize,
}

impl<'a> Chunks<'a> {
    fn of(run: &'a Run<'a>, caller: bool) -> Self {
        let pause = Pause::new(Some(&run.stop), caller);
        Self { run: Some(run), pause, units: run.first, begun: Some(Instant::now()), last: 0 }
    }

    /// The next one, when the last one is done.
    fn next(&mut self) -> Result<Option<Range<usize>>> {
        let Some(run) = self.run else {
            let all = std::mem::take(&mut self.units);
            return Ok((all > 0).then_some(0..all));
        };
        if self.last > 0 {
            super::simd::fence();
            let now = Instant::now();
            run.measured(self.last, self.begun.replace(now).map_or(Duration::ZERO, |begun| now - begun));
            self.units = run.chunk.load(Ordering::Relaxed);
            self.pause.here()?;
        }
        self.last = 0;
        if run.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let start = run.next.fetch_add(self.units, Ordering::Relaxed);
        if start >= run.total {
            return Ok(None);
        }
        let end = start.saturating_add(self.units).min(run.total);
        self.last = end - start;
        Ok(Some(start..end))
    }
}

/// State shared by the threads of one call.
struct Run<'a> {
    next: AtomicUsize,
    stop: AtomicBool,
    failure: OnceLock<Error>,
    /// What a thread of the pool panicked with, for the caller to go on with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    total: usize,
    /// Units of a thread's first chunk, and of those that follow.
    first: usize,
    chunk: AtomicUsize,
    work: Work<'a>,
}

impl Run<'_> {
    /// Takes chunks until none is left.
    fn drain(&self, mut chunks: Chunks<'_>) {
        let done = (self.work)(&mut chunks);
        super::simd::fence();
        self.keep(done);
    }

    /// [`Self::drain`] on a thread of the pool.
    fn help(&self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.drain(Chunks::of(self, false)))) {
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            self.stop.store(true, Ordering::Relaxed);
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

/// A run as the threads of the pool know it. One that wakes late comes to a door that is closed, and the caller, who by
/// then has done all the work alone, has not waited for it.
struct Door {
    /// Threads inside, and [`CLOSED`] once no more may enter.
    inside: AtomicUsize,
    caller: Thread,
    /// There as long as a thread is inside or the door is open.
    run: NonNull<Run<'static>>,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

// SAFETY: a `Run` is shared by threads (its work is `Sync`, the rest atomic or locked), and `Door::enter` alone follows
// the pointer to it.
unsafe impl Send for Door {}
// SAFETY: as above.
unsafe impl Sync for Door {}

impl Door {
    /// On a thread of the pool: has `run` helped, unless the door is closed.
    fn enter(&self) {
        let open = |inside: usize| (inside & CLOSED == 0).then_some(inside + 1);
        if self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, open).is_err() {
            return;
        }
        // SAFETY: this thread was counted while the door was open, and whoever made the run keeps it until the door is
        // closed and nobody counted is left (`Host`). `help` does not unwind.
        unsafe { self.run.as_ref() }.help();
        if self.inside.fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            self.caller.unpark();
        }
    }
}

/// The door of a run on its caller's stack, which is not left, even by a panic, before it is closed and all are out.
struct Host<'a> {
    door: Arc<Door>,
    run: &'a Run<'a>,
}

impl<'a> Host<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        let door = Door { inside: AtomicUsize::new(0), caller: std::thread::current(), run: NonNull::from(run).cast() };
        Self { door: Arc::new(door), run }
    }

    /// Closes the door and waits for those inside, doing `meanwhile` now and then if it takes long.
    fn close(&self, meanwhile: impl Fn()) {
        self.door.inside.fetch_or(CLOSED, Ordering::Relaxed);
        let since = Instant::now();
        while self.door.inside.load(Ordering::Acquire) != CLOSED {
            if since.elapsed() < SPIN {
                spin();
            } else {
                std::thread::park_timeout(ASKED_EVERY);
                meanwhile();
            }
        }
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.run.stop.store(true, Ordering::Relaxed);
        }
        self.close(|| ());
    }
}

/// Waits for some hundred nanoseconds, or for as long as another thread wants this CPU.
fn spin() {
    for _ in 0..16 {
        std::hint::spin_loop();
    }
    std::thread::yield_now();
}

/// On a thread of the pool that has done its part: stays awake for a little while, doing what else comes.
fn linger() {
    thread_local! {
        static LINGERS: Cell<bool> = const { Cell::new(false) };
    }
    if LINGERS.replace(true) {
        return; // this part came meanwhile; who lingers goes on
    }
    let mut since = Instant::now();
    while since.elapsed() < SPIN {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => since = Instant::now(),
            _ => spin(),
        }
    }
    LINGERS.set(false);
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
    each_chunk(total, cost, &work)
}

/// [`for_each_long`], whatever the work.
fn each_chunk(total: usize, cost: usize, work: &(dyn Fn(Range<usize>, &Pause<'_>) -> Result<()> + Sync)) -> Result<()> {
    run(total, cost, &|chunks| {
        while let Some(units) = chunks.next()? {
            work(units, &chunks.pause)?;
        }
        Ok(())
    })
}

/// [`for_each_long`], where each thread has something of its own that it goes on with from chunk to chunk.
///
/// # Errors
/// As [`for_each`], or of `make`.
#[inline]
pub fn for_each_with<S, M, F>(total: usize, cost: usize, make: M, work: F) -> Result<()>
where
    M: Fn() -> Result<S> + Sync,
    F: Fn(&mut S, Range<usize>, &Pause<'_>) -> Result<()> + Sync,
{
    run(total, cost, &|chunks| {
        let mut own = make()?;
        while let Some(units) = chunks.next()? {
            work(&mut own, units, &chunks.pause)?;
        }
        Ok(())
    })
}

/// All of these, whatever the work.
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
        let pause = Pause::new(None, may_ask());
        let done = work(&mut Chunks { run: None, pause, units: total, begun: None, last: 0 });
        super::simd::fence();
        return done;
    }
    let threads = threads().min(total).min(all / grain);
    let even = total.div_ceil(threads * if threads > 1 { CHUNKS_PER_THREAD } else { 1 });
    let chunk = even.max(grain.div_ceil(cost)).min((LONGEST_CHUNK / cost).max(1));
    let first = if all < grain.saturating_mul(MEASURED_FROM) { chunk } else { chunk.min(grain.div_ceil(cost)) };
    let run = Run {
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        failure: OnceLock::new(),
        panic: Mutex::new(None),
        total,
        first,
        chunk: AtomicUsize::new(chunk),
        work,
    };
    match if threads > 1 { pool(threads - 1) } else { None } {
        None => run.drain(Chunks::of(&run, may_ask())),
        Some((pool, apart)) => {
            let host = Host::new(&run);
            apart.keep_off_this_cpu(threads);
            for _ in 1..threads {
                let door = Arc::clone(&host.door);
                pool.spawn(move || {
                    door.enter();
                    drop(door);
                    linger();
                });
            }
            run.drain(Chunks::of(&run, true));
            let pause = Pause::new(Some(&run.stop), true);
            host.close(|| run.keep(pause.here()));
        }
    }
    if let Some(panic) = run.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    run.failure.into_inner().map_or(Ok(()), Err)
}
