//! Threads that wait for work are kept off the CPU from which they are called.
//!
//! Left to itself, Linux may wake a thread on the CPU of whoever wakes it, where it waits for just that thread to end
//! or to sleep, although another CPU is idle: in a virtual machine an idle CPU counts as taken once the host has put
//! it to sleep, which it does within milliseconds. Nothing moves either thread before the next tick but one, so that
//! two threads took as long as one for whatever takes less than four milliseconds (measured after a pause of 10 ms: the
//! second thread started 1.5 ms late in 386 of 400 calls, when the caller had ended; kept off, after 0.08 ms). The
//! caller's CPU is the one on which threads of the pool have nothing to gain.
//!
//! It is told once for as long as the caller stays where it is. Threads whose CPUs someone else chose meanwhile are
//! left alone. Systems other than Linux do as they like.

#[cfg(target_os = "linux")]
pub use linux::Apart;
#[cfg(not(target_os = "linux"))]
pub use other::Apart;

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// No CPU.
    const NONE: usize = usize::MAX;

    /// How often they are moved at most: callers on several CPUs in turns would move them for every call, at a microsecond
    /// for each thread.
    const SELDOM: Duration = Duration::from_millis(1);

    /// The threads of a pool.
    pub struct Apart {
        /// The CPUs they may use, those of the thread that made the pool; empty if that is not known.
        allowed: CpuSet,
        threads: Box<[Waiting]>,
        made: Instant,
        /// From when on they may be moved, in nanoseconds since they were made.
        again: AtomicU64,
    }

    struct Waiting {
        /// Its id for the system, 0 until it has started.
        thread: AtomicI32,
        /// The CPU it was last kept off.
        off: AtomicUsize,
    }

    impl Apart {
        /// For a pool of `n` threads, made by the calling thread.
        pub fn new(n: usize) -> Self {
            let waiting = |_| Waiting { thread: AtomicI32::new(0), off: AtomicUsize::new(NONE) };
            Self {
                allowed: sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new()),
                threads: (0..n).map(waiting).collect(),
                made: Instant::now(),
                again: AtomicU64::new(0),
            }
        }

        /// On thread `i` of the pool, before it does anything.
        pub fn started(&self, i: usize) {
            self.threads[i].thread.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        }

        /// Keeps the pool's threads off the CPU of the calling thread, which is about to have `n` threads work, itself
        /// included, if there are as many CPUs.
        pub fn keep_off_this_cpu(&self, n: usize) {
            if n > self.allowed.count() as usize {
                return;
            }
            let cpu = sched_getcpu();
            let other = |one: &&Waiting| one.off.load(Ordering::Relaxed) != cpu;
            if self.threads.iter().any(|one| other(&one)) && self.may_move() {
                self.threads.iter().filter(other).for_each(|one| self.keep_off(one, cpu));
            }
        }

        /// Whether it is time to move them, which then it is not for others.
        fn may_move(&self) -> bool {
            let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
            let (now, again) = (self.made.elapsed(), self.again.load(Ordering::Relaxed));
            let later = nanos(now + SELDOM);
            nanos(now) >= again
                && self.again.compare_exchange(again, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        }

        fn keep_off(&self, one: &Waiting, cpu: usize) {
            let Some(thread) = Pid::from_raw(one.thread.load(Ordering::Relaxed)) else { return };
            // (Of two callers at once either may be the last.)
            one.off.store(cpu, Ordering::Relaxed);
            let ours = sched_getaffinity(Some(thread)).is_ok_and(|now| {
                let without = (0..CpuSet::MAX_CPU).filter(|&c| self.allowed.is_set(c) && !now.is_set(c)).count();
                now.count() + without as u32 == self.allowed.count() && without <= 1
            });
            if ours && cpu < CpuSet::MAX_CPU {
                let mut others = self.allowed;
                others.unset(cpu);
                let _ = sched_setaffinity(Some(thread), &others); // refused: it stays where it may be
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_waiting_thread_is_kept_off_the_callers_cpu_and_comes_back() {
            let apart = Apart::new(1);
            if apart.allowed.count() < 2 {
                return;
            }
            let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&c| apart.allowed.is_set(c)).collect();
            let (started, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    apart.started(0);
                    started.wait();
                    end.wait();
                });
                started.wait();
                let thread = Pid::from_raw(apart.threads[0].thread.load(Ordering::Relaxed));
                for &cpu in cpus.iter().take(3).chain(&cpus[..1]) {
                    let mut one = CpuSet::new();
                    one.set(cpu);
                    assert!(sched_setaffinity(None, &one).is_ok());
                    std::thread::sleep(SELDOM);
                    apart.keep_off_this_cpu(2);
                    let now = sched_getaffinity(thread);
                    let mut others = apart.allowed;
                    others.unset(cpu);
                    assert!(now.is_ok_and(|now| now == others), "off {cpu}: {now:?}");
                }
                apart.keep_off_this_cpu(cpus.len() + 1);
                // Chosen by someone else, and in no way that is ours.
                if cpus.len() > 2 {
                    let mut chosen = CpuSet::new();
                    chosen.set(cpus[0]);
                    assert!(sched_setaffinity(thread, &chosen).is_ok() && sched_setaffinity(None, &chosen).is_ok());
                    apart.threads[0].off.store(NONE, Ordering::Relaxed);
                    std::thread::sleep(SELDOM);
                    apart.keep_off_this_cpu(2);
                    assert!(sched_getaffinity(thread).is_ok_and(|now| now == chosen));
                }
                end.wait();
            });
            assert!(sched_setaffinity(None, &apart.allowed).is_ok());
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// The threads of a pool.
    pub struct Apart;

    impl Apart {
        /// For a pool of some threads, made by the calling thread.
        pub fn new(_: usize) -> Self {
            Self
        }

        /// On a thread of the pool, before it does anything.
        pub fn started(&self, _: usize) {}

        /// Nothing.
        pub fn keep_off_this_cpu(&self, _: usize) {}
    }
}
