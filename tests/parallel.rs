//! Work is cut so that every unit runs exactly once, whatever the threads and the grain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Engine;
use upsample_rs::engine::parallel::{
    MAX_THREADS, alone, for_each, for_each_long, force_grain, num_threads, on_interrupt, set_num_threads,
};
use upsample_rs::{Error, Result};

/// How often each unit ran.
fn counts(total: usize, cost: usize) -> Vec<usize> {
    let seen: Vec<AtomicUsize> = (0..total).map(|_| AtomicUsize::new(0)).collect();
    for_each(total, cost, |units| {
        assert!(units.start < units.end && units.end <= total);
        units.for_each(|u| _ = seen[u].fetch_add(1, Ordering::Relaxed));
        Ok(())
    })
    .unwrap();
    seen.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn each_unit_runs_exactly_once() {
    let _engine = Engine::hold();
    for threads in [1, 2, 3, 5, 16] {
        set_num_threads(threads).unwrap();
        for grain in [0, 1, 2, 7, 1000] {
            force_grain(grain);
            for total in [0, 1, 2, 3, 15, 16, 17, 1000] {
                for cost in [0, 1, 3, 1 << 20, usize::MAX] {
                    let all = counts(total, cost);
                    assert!(all.iter().all(|&n| n == 1), "{threads} threads, grain {grain}, {total} x {cost}: {all:?}");
                }
            }
        }
    }
}

/// Units that take far longer than their cost says are cut into short chunks, so that an interruption is noticed.
#[test]
fn chunks_follow_the_time_they_take() {
    let _engine = Engine::hold();
    set_num_threads(1).unwrap();
    force_grain(4);
    let longest = AtomicUsize::new(0);
    for_each(200, 1, |units| {
        longest.fetch_max(units.len(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2 * units.len() as u64));
        Ok(())
    })
    .unwrap();
    assert!(longest.into_inner() <= 20, "40 ms at most");
}

/// Units that take seconds stop in the middle, whichever thread has them.
#[test]
fn long_units_stop_when_asked() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let _engine = Engine::hold();
    on_interrupt(|| STOP.load(Ordering::Relaxed));
    let caller = std::thread::current().id();
    // (threads, units, whether the caller's own unit is long, whether that of others is)
    for (threads, total, own, others) in
        [(1, 1, true, true), (2, 2, true, true), (2, 2, false, true), (3, 3, true, false)]
    {
        set_num_threads(threads).unwrap();
        force_grain(1);
        let (begun, ended) = (Instant::now(), AtomicUsize::new(0));
        let result = for_each_long(total, 1, |units, pause| {
            let long = if std::thread::current().id() == caller { own } else { others };
            while long && begun.elapsed() < Duration::from_secs(20) {
                STOP.store(begun.elapsed() > Duration::from_millis(100), Ordering::Relaxed);
                pause.here()?;
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.fetch_add(if long { units.len() } else { 0 }, Ordering::Relaxed);
            Ok(())
        });
        STOP.store(false, Ordering::Relaxed);
        let finished = ended.into_inner();
        // (Where one thread was quick enough to take all units, those were short.)
        if result.is_ok() {
            assert!(finished == 0 && threads > 1 && begun.elapsed() < Duration::from_secs(10));
        } else {
            assert_eq!(result, Err(Error::Interrupted));
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
        assert_eq!(counts(100, 1), [1; 100]);
    }
}

#[test]
fn calls_within_calls_and_beside_each_other_finish() {
    let _engine = Engine::hold();
    set_num_threads(3).unwrap();
    force_grain(1);
    let ran = AtomicUsize::new(0);
    let nested = || {
        for_each(20, 1, |units| {
            for_each(units.len() * 10, 1, |inner| {
                ran.fetch_add(inner.len(), Ordering::Relaxed);
                Ok(())
            })
        })
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| nested().unwrap());
        }
    });
    assert_eq!(ran.into_inner(), 4 * 200);
}

#[test]
fn a_failure_is_told_and_stops_the_rest() {
    let _engine = Engine::hold();
    force_grain(1);
    for threads in [1, 2, 5] {
        set_num_threads(threads).unwrap();
        let ran = AtomicUsize::new(0);
        let total = 1_000_000;
        let fails = |units: std::ops::Range<usize>| -> Result<()> {
            ran.fetch_add(units.len(), Ordering::Relaxed);
            if units.contains(&7) { Err(Error::value("unit 7")) } else { Ok(()) }
        };
        let error = for_each(total, 1 << 20, fails).unwrap_err();
        assert_eq!(error.to_string(), "unit 7");
        let _ = ran.into_inner();
        // Usable afterwards.
        assert_eq!(counts(100, 1), [1; 100]);
    }
    // One chunk for each unit: after the first, none is taken.
    set_num_threads(1).unwrap();
    let (ran, first) = (AtomicUsize::new(0), AtomicBool::new(false));
    let result = for_each(1000, 1 << 24, |units| {
        ran.fetch_add(units.len(), Ordering::Relaxed);
        if first.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(Error::Interrupted) }
    });
    assert_eq!((result, ran.into_inner()), (Err(Error::Interrupted), 1));
}

#[test]
fn thread_counts_have_limits() {
    let _engine = Engine::hold();
    let default = num_threads();
    assert!((1..=MAX_THREADS).contains(&default));
    for n in [1, 2, 5, MAX_THREADS] {
        set_num_threads(n).unwrap();
        assert_eq!(num_threads(), n);
    }
    for n in [MAX_THREADS + 1, usize::MAX] {
        let text = set_num_threads(n).unwrap_err().to_string();
        assert_eq!(text, format!("n = {n}: must be from 1 to {MAX_THREADS}"));
        assert_eq!(num_threads(), MAX_THREADS, "a refused count changes nothing");
    }
    set_num_threads(0).unwrap();
    assert_eq!(num_threads(), default);
}

/// A call does not wait for threads that are busy with another.
#[test]
fn a_call_whose_helpers_are_busy_ends_without_them() {
    let _engine = Engine::hold();
    set_num_threads(2).unwrap();
    force_grain(1);
    let (inside, released) = (AtomicUsize::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(20);
    let wait_for = |what: &dyn Fn() -> bool| {
        while !what() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(what(), "waited for 20 s");
    };
    std::thread::scope(|scope| {
        // Both threads, the caller and the only one of the pool, are held in a unit.
        let held = scope.spawn(|| {
            for_each(2, 1, |_| {
                inside.fetch_add(1, Ordering::Relaxed);
                wait_for(&|| released.load(Ordering::Relaxed));
                Ok(())
            })
        });
        wait_for(&|| inside.load(Ordering::Relaxed) == 2);
        assert!(counts(100, 1).iter().all(|&n| n == 1));
        released.store(true, Ordering::Relaxed);
        held.join().unwrap().unwrap();
    });
    assert!(counts(100, 1).iter().all(|&n| n == 1), "what came too late does no harm");
}

/// What is a part of other work is done by the thread that has that part, which asks nobody whether to stop.
#[test]
fn parts_of_work_stay_on_their_thread() {
    let _engine = Engine::hold();
    set_num_threads(3).unwrap();
    force_grain(1);
    let ran = AtomicUsize::new(0);
    for_each(50, 1, |units| {
        let here = std::thread::current().id();
        units.into_iter().try_for_each(|_| {
            alone(&mut || {
                for_each(30, 1, |parts| {
                    assert_eq!(std::thread::current().id(), here);
                    ran.fetch_add(parts.len(), Ordering::Relaxed);
                    Ok(())
                })
            })
        })
    })
    .unwrap();
    assert_eq!(ran.into_inner(), 50 * 30);
    let failed = alone(&mut || Err(Error::Interrupted));
    assert_eq!(failed, Err(Error::Interrupted));
    assert!(counts(100, 1).iter().all(|&n| n == 1), "and threads share work again");
}

/// A panic comes out of the call, whichever thread it happened on, and once all of them have left it.
#[test]
fn a_panic_comes_out_of_the_call() {
    let _engine = Engine::hold();
    set_num_threads(2).unwrap();
    force_grain(1);
    let caller = std::thread::current().id();
    for on_caller in [false, true] {
        let (others, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for_each(1 << 20, 1, |_| {
                running.fetch_add(1, Ordering::SeqCst);
                let here = std::thread::current().id() == caller;
                others.fetch_add(usize::from(!here), Ordering::Relaxed);
                if here == on_caller && others.load(Ordering::Relaxed) > 0 {
                    running.fetch_sub(1, Ordering::SeqCst);
                    panic!("on purpose");
                }
                std::thread::sleep(Duration::from_micros(10));
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        }));
        let why = panicked.expect_err("it panicked");
        assert_eq!(why.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(running.into_inner(), 0, "nobody works on");
    }
    assert!(counts(100, 1).iter().all(|&n| n == 1));
}
