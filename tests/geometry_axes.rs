//! What else is known of one axis, against plain definitions: names and refusals, repetition, parts, bins, random
//! windows, points of a grid, regions of interest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use upsample_rs::error::Error;
use upsample_rs::geometry::bins::Bins;
use upsample_rs::geometry::fractional::{Intervals, Shrunk, random};
use upsample_rs::geometry::grid::{self, Axis};
use upsample_rs::geometry::phase::Links;
use upsample_rs::geometry::readers::Readers;
use upsample_rs::geometry::roi::{Extremes, MAX_SAMPLING, Side, Takes};
use upsample_rs::geometry::taps::{Period, Picks, Taps};
use upsample_rs::geometry::window::{AxisName, Pad, Padding, Windows, span, transposed_len};
use upsample_rs::geometry::{Reach, gcd};

const H: AxisName = AxisName { index: 0, rank: 2 };
const MOST: usize = isize::MAX as usize;

fn positions(r: Reach) -> Vec<usize> {
    (0..r.count).map(|j| r.start + j * r.step).collect()
}

fn text<T>(refused: Result<T, Error>) -> String {
    refused.err().map_or_else(|| "accepted".to_owned(), |e| e.to_string())
}

// --------------------------------------------------------------------------------------------------- names, refusals

#[test]
fn axes_have_the_letters_of_their_place() {
    let letters = |rank: usize| (0..rank).map(|index| AxisName { index, rank }.letter()).collect::<String>();
    assert_eq!([1, 2, 3].map(letters), ["W", "HW", "DHW"]);
}

#[test]
fn reaches_end_behind_their_last_position() {
    let end = |start, count, step| Reach { start, count, step }.end();
    assert_eq!([end(3, 0, 2), end(3, 1, 2), end(3, 4, 2), end(0, 5, 1)], [3, 4, 10, 5]);
    assert_eq!((end(1, usize::MAX, usize::MAX), gcd(0, 0), gcd(0, 6), gcd(6, 0)), (usize::MAX, 0, 6, 6));
}

#[test]
fn windows_are_refused_by_name() {
    let pool = |n, k, s, d, before, after| text(Windows::pool(n, k, s, d, Pad { before, after }, false, H));
    assert_eq!(pool(5, 0, 1, 1, 0, 0), "kernel_size[0] = 0: must be at least 1");
    assert_eq!(pool(5, 1, 0, 1, 0, 0), "stride[0] = 0: must be at least 1");
    assert_eq!(pool(5, 1, 1, 0, 0, 0), "dilation[0] = 0: must be at least 1");
    assert_eq!(pool(0, 1, 1, 1, 0, 0), "axis H = 0 elements: must be at least 1");
    assert_eq!(pool(5, 9, 1, 1, 1, 1), "kernel_size[0] = 9 exceeds axis H: 5 elements + 2*1 padding");
    assert_eq!(
        pool(5, 4, 1, 3, 1, 2),
        "kernel_size[0] = 4 (dilation[0] = 3) exceeds axis H: 5 elements + (1 + 2) padding"
    );
    assert_eq!(pool(MOST, 1, 1, 1, 0, 1), "padding[0] = (0, 1): the padded axis H is longer than 2**63 elements");
    assert_eq!(pool(MOST, 1, 1, 1, 0, 0), "accepted");
    assert_eq!(pool(7, 4, 1, 2, 0, 0), "accepted");
    let conv = |n, k, s, d| text(Windows::conv(n, k, s, d, Padding::Same, H));
    assert_eq!(conv(5, 0, 1, 1), "kernel_size[0] = 0: must be at least 1");
    assert_eq!(conv(5, 1, 0, 1), "stride[0] = 0: must be at least 1");
    assert_eq!(conv(5, 1, 1, 0), "dilation[0] = 0: must be at least 1");
    assert_eq!((span(1 << 62, 2, H), span(1, usize::MAX, H)), (Ok(MOST), Ok(1)));
    assert_eq!(
        text(span((1 << 62) + 1, 2, H)),
        "kernel_size[0] = 4611686018427387905: with dilation[0] = 2 the window is longer than 2**63 elements"
    );
}

#[test]
fn windows_of_padding_only_are_named() {
    let needs = |n, k, d, before, after| {
        let w = Windows::pool(n, k, 1, d, Pad { before, after }, false, H).unwrap();
        text(w.require_input_in_every_window(H))
    };
    assert_eq!(
        needs(5, 3, 1, 2, 0),
        "padding[0] = 2: must be at most half the dilated kernel, 1 for kernel_size[0] = 3 and dilation[0] = 1"
    );
    assert_eq!(
        needs(1, 2, 3, 2, 2),
        "dilation[0] = 3: window 0 along axis H touches padding only (1 elements, padding 2 + 2)"
    );
    assert_eq!((needs(5, 3, 1, 1, 1), needs(3, 2, 3, 2, 2)), ("accepted".to_owned(), "accepted".to_owned()));
}

#[test]
fn transposed_lengths_are_refused_by_name() {
    let len = |n, k, s, d, both, extra| transposed_len(n, k, s, d, Pad::both(both), extra, H);
    assert_eq!(text(len(0, 1, 1, 1, 0, 0)), "axis H = 0 elements: must be at least 1");
    assert_eq!(text(len(1, 0, 1, 1, 0, 0)), "kernel_size[0] = 0: must be at least 1");
    assert_eq!(text(len(1, 1, 0, 1, 0, 0)), "stride[0] = 0: must be at least 1");
    assert_eq!(text(len(1, 1, 1, 0, 0, 0)), "dilation[0] = 0: must be at least 1");
    assert_eq!(text(len(1, 1, 2, 3, 0, 3)), "output_padding[0] = 3: must be below max(stride, dilation) = 3");
    assert_eq!(text(len(2, 2, 1, 1, 2, 0)), "padding[0] = (2, 2): leaves axis H with -1 elements, must be at least 1");
    assert_eq!(len(2, 1, MOST - 1, 1, 0, 0), Ok(MOST));
    assert_eq!(text(len(2, 1, MOST, 1, 0, 0)), format!("stride[0] = {MOST}: makes axis H longer than 2**63 elements"));
}

#[test]
fn paddings_and_plain_windows() {
    let pad = Pad { before: 1, after: 2 };
    assert_eq!((Padding::from(pad), Pad::both(3)), (Padding::Explicit(pad), Pad { before: 3, after: 3 }));
    assert_eq!(Windows::plain(6, 3, 2, 2), Windows::pool(6, 2, 2, 1, Pad::default(), false, H).unwrap());
}

// --------------------------------------------------------------------------------------------------------- repetition

#[test]
fn whole_repetitions_within_a_range() {
    for outs in 1..=7 {
        for (first, repeats) in [(0, 5), (2, 4), (3, 9)] {
            let range = first..first + outs * repeats;
            let period = Period { outs, ins: 1, range: range.clone() };
            for (a, b) in (0..50).flat_map(|a| (a..50).map(move |b| (a, b))) {
                let found = period.within(&(a..b));
                let n = range.end.min(b).saturating_sub(range.start.max(a)) / outs * outs;
                assert_eq!(found.len(), n, "{period:?} {a}..{b}");
                assert!(a <= found.start && found.end <= b, "{period:?} {a}..{b}");
                assert!(n == 0 || found.start == range.start.max(a), "{period:?} {a}..{b}");
            }
        }
    }
}

/// The first of the longest stretches whose outputs are those before them, a whole number of repetitions of it.
fn longest_stretch(n: usize, outs: usize, same: impl Fn(usize) -> bool) -> Range<usize> {
    let stretch = |a: usize| {
        let agree = (a..n.saturating_sub(outs)).take_while(|&o| same(o)).count();
        a..a + (agree + outs) / outs * outs
    };
    let agree = |a: usize| (a..n.saturating_sub(outs)).take_while(|&o| same(o)).count();
    let best = (0..n).max_by_key(|&a| (agree(a), n - a)).unwrap();
    stretch(best)
}

#[test]
fn stretches_that_repeat_are_found() {
    for (outs, ins, n) in (1..=10).flat_map(|o| (1..=10).flat_map(move |i| [7, 33, 40, 64].map(|n| (o, i, n)))) {
        for breaks in [vec![], vec![3], vec![20], vec![5, 30], vec![9, 10, 39], (0..64).step_by(7).collect()] {
            // A source that follows the period, and steps aside at the breaks.
            let source = |o: usize| o / outs * ins + o % outs + breaks.iter().filter(|&&b| b <= o).count();
            let picks = Picks::new(10_000, n, (outs, ins), |o| (o != 25).then(|| source(o))).unwrap();
            let taps = Taps::from_picks(&picks).unwrap();
            let agrees = |o: usize| match (picks.at(o), picks.at(o + outs)) {
                (Some(a), Some(b)) => b == a + ins,
                (a, b) => a == b,
            };
            let wanted = longest_stretch(n, outs, agrees);
            let worth = outs <= 8 && ins <= 8 && wanted.len() >= 4 * outs;
            let wanted = worth.then_some(Period { outs, ins, range: wanted });
            assert_eq!(picks.period(), wanted, "{outs} {ins} {n} {breaks:?}");
            if (0..n).all(|o| picks.at(o).is_some()) {
                assert_eq!(taps.period(), wanted, "{outs} {ins} {n} {breaks:?}");
            }
            assert_eq!((picks.period_hint(), taps.period_hint()), ((outs, ins), (outs, ins)));
            assert_eq!(taps.transposed().unwrap().period_hint(), (ins, outs));
        }
    }
}

// --------------------------------------------------------------------------------------------------------- taps, picks

fn rows(taps: &Taps) -> Vec<(Vec<usize>, Vec<f64>)> {
    (0..taps.out_len()).map(|o| (positions(taps.at(o)), taps.weights(o).to_vec())).collect()
}

#[test]
fn parts_of_taps_are_those_of_the_whole() {
    let reaches: Vec<Reach> = [(0, 2), (1, 2), (1, 4), (4, 1), (5, 0), (5, 3), (6, 3)]
        .map(|(start, count)| Reach { start, count, step: 1 })
        .to_vec();
    let sums = Taps::sums(9, &reaches, (2, 3)).unwrap();
    assert_eq!((sums.in_len(), sums.out_len(), sums.period_hint(), sums.widest()), (9, 7, (2, 3), 4));
    assert_eq!(rows(&sums), reaches.iter().map(|r| (positions(*r), vec![1.0; r.count])).collect::<Vec<_>>());
    assert_eq!(sums.all_weights().len(), 15);
    let same = Taps::same(9).unwrap();
    assert_eq!(rows(&same), (0..9).map(|i| (vec![i], vec![1.0])).collect::<Vec<_>>());
    assert_eq!((same.is_identity(), sums.is_identity(), same.period_hint()), (true, false, (1, 1)));
    for taps in [&sums, &same, &sums.transposed().unwrap(), &same.transposed().unwrap()] {
        for (a, b) in (0..taps.out_len()).flat_map(|a| (a + 1..=taps.out_len()).map(move |b| (a, b))) {
            let read = taps.inputs(a..b);
            for held in [read.clone(), read.start.saturating_sub(1)..(read.end + 1).min(taps.in_len())] {
                let part = taps.part(&(a..b), &held).unwrap();
                let moved = rows(&part).into_iter().map(|(i, w)| (i.iter().map(|i| i + held.start).collect(), w));
                assert_eq!(moved.collect::<Vec<_>>(), rows(taps)[a..b], "{a}..{b} {held:?}");
                assert_eq!((part.in_len(), part.period_hint()), (held.len(), taps.period_hint()));
            }
        }
    }
    let wider = Taps::sums(3, &[(0, 1), (1, 2)].map(|(start, count)| Reach { start, count, step: 1 }), (0, 0)).unwrap();
    let moved = Taps::sums(2, &[(0, 1), (0, 1)].map(|(start, count)| Reach { start, count, step: 1 }), (0, 0)).unwrap();
    assert!(!wider.is_identity() && !moved.is_identity());
}

#[test]
fn picks_in_any_order() {
    let lists: [&[Option<usize>]; 4] = [
        &[Some(3), None, Some(1), Some(4), Some(9)],
        &[Some(0), Some(0), None, Some(2), Some(4)],
        &[None, None, None, None, None],
        &[Some(4), Some(3), Some(2), Some(1), Some(0)],
    ];
    for list in lists {
        let picks = Picks::new(5, 5, (1, 1), |o| list[o]).unwrap();
        let inside: Vec<_> = list.iter().map(|s| s.filter(|&i| i < 5)).collect();
        assert_eq!((0..5).map(|o| picks.at(o)).collect::<Vec<_>>(), inside);
        assert_eq!((picks.in_len(), picks.out_len(), picks.period_hint()), (5, 5, (1, 1)));
        for (a, b) in (0..5).flat_map(|a| (a + 1..=5).map(move |b| (a, b))) {
            let read = || inside[a..b].iter().flatten().copied();
            let hull = read().min().map_or(0..0, |lo| lo..read().max().unwrap() + 1);
            assert_eq!(picks.inputs(a..b), hull, "{list:?} {a}..{b}");
            let part = picks.part(&(a..b), &hull).unwrap();
            let shifted: Vec<_> = (0..b - a).map(|o| part.at(o).map(|i| i + hull.start)).collect();
            assert_eq!((shifted, part.in_len()), (inside[a..b].to_vec(), hull.len()), "{list:?} {a}..{b}");
            assert_eq!(part.period_hint(), (1, 1));
        }
    }
}

#[test]
fn tables_without_memory_are_refused() {
    let failed = |e: Error| matches!(&e, Error::Memory(_)) && e.to_string().starts_with("cannot allocate a table of ");
    assert!(failed(Taps::same(MOST).unwrap_err()));
    assert!(failed(Picks::new(1, MOST, (1, 1), |_| None).unwrap_err()));
    assert!(failed(Bins::adaptive(MOST, MOST - 1, H).unwrap_err()));
    assert!(failed(Links::transposed(1, 1, MOST, 1, 1, Pad::default()).unwrap_err()));
}

// --------------------------------------------------------------------------------------------------------------- bins

#[test]
fn adaptive_bins_are_their_definition() {
    for (n, m) in (1..=12_usize).flat_map(|n| (1..=14).map(move |m| (n, m))) {
        let bins = Bins::adaptive(n, m, H).unwrap();
        let wanted: Vec<Vec<usize>> = (0..m).map(|i| (i * n / m..((i + 1) * n).div_ceil(m)).collect()).collect();
        let found = |bins: &Bins| (0..bins.out_len()).map(|o| positions(bins.at(o))).collect::<Vec<_>>();
        assert_eq!((found(&bins), bins.in_len(), bins.out_len()), (wanted.clone(), n, m));
        assert_eq!(bins.longest(), wanted.iter().map(Vec::len).max().unwrap());
        assert_eq!(
            (0..m).map(|o| bins.with_padding(o)).collect::<Vec<_>>(),
            wanted.iter().map(Vec::len).collect::<Vec<_>>()
        );
        assert_eq!(bins.is_identity(), n == m);
        assert_eq!(matches!(bins, Bins::Sliding(_)), n % m == 0, "those that slide do");
        assert_eq!(bins.inputs(0..0), 0..0);
        for (a, b) in (0..m).flat_map(|a| (a + 1..=m).map(move |b| (a, b))) {
            let read = wanted[a][0]..wanted[b - 1].last().unwrap() + 1;
            assert_eq!(bins.inputs(a..b), read, "{n} {m} {a}..{b}");
            let part = bins.part(&(a..b)).unwrap();
            let shifted: Vec<Vec<_>> =
                found(&part).iter().map(|w| w.iter().map(|i| i + read.start).collect()).collect();
            assert_eq!((shifted, part.in_len()), (wanted[a..b].to_vec(), read.len()), "{n} {m} {a}..{b}");
        }
    }
    assert_eq!(text(Bins::adaptive(0, 3, H)), "axis H = 0 elements: must be at least 1");
    assert_eq!(text(Bins::check_adaptive(3, 0, H)), "output_size[0] = 0: must be at least 1");
    assert_eq!(Bins::check_adaptive(3, 4, H), Ok(()));
}

#[test]
fn windows_of_one_element_at_its_place_are_the_identity() {
    let sliding =
        |n, k, s, before, after| Bins::Sliding(Windows::pool(n, k, s, 1, Pad { before, after }, false, H).unwrap());
    assert!(sliding(5, 1, 1, 0, 0).is_identity());
    for other in [sliding(5, 1, 2, 0, 0), sliding(5, 2, 1, 1, 0), sliding(5, 1, 1, 0, 1), sliding(1, 1, 2, 1, 0)] {
        assert!(!other.is_identity(), "{other:?}");
    }
    assert_eq!((sliding(5, 3, 1, 1, 1).longest(), sliding(2, 4, 1, 1, 1).longest()), (3, 2));
}

#[test]
fn readers_repeat_after_their_period() {
    for (n, m) in (2..=20_usize).flat_map(|n| (1..=20).map(move |m| (n, m))) {
        let bins = Bins::adaptive(n, m, H).unwrap();
        let readers = Readers::new(&bins).unwrap();
        let (elements, windows) = readers.period();
        let g = gcd(n, m);
        assert_eq!((elements, windows), (n / g, m / g));
        for i in 0..n - elements.min(n) {
            let (a, b) = (readers.at(i), readers.at(i + elements));
            assert_eq!(b, Reach { start: a.start + windows, ..a }, "{n} {m} {i}");
        }
        assert_eq!(readers.widest(), (0..n).map(|i| readers.hull(i).count).max().unwrap());
        assert_eq!(readers.all(), (0..n).map(|i| readers.at(i)).collect::<Vec<_>>());
        assert!(!readers.is_empty() && !readers.have_gaps());
    }
    for (k, s, d) in [(3, 1, 1), (3, 2, 1), (4, 3, 2), (2, 2, 5), (5, 4, 6), (1, 2, 3), (2, 1, 40)] {
        let w = Windows::pool(60, k, s, d, Pad::default(), false, H).unwrap();
        let readers = Readers::new(&Bins::Sliding(w)).unwrap();
        assert_eq!((readers.period(), readers.have_gaps()), ((s, 1), d > 1 && k > 1));
        let span = (k - 1) * d;
        for i in span..60 - span - s {
            let (a, b) = (readers.at(i), readers.at(i + s));
            let moved = positions(a).iter().map(|o| o + 1).collect::<Vec<_>>();
            assert!(positions(b) == moved || (i + s) / s >= w.out_len, "{w:?} {i}");
        }
        assert_eq!(readers.all(), (0..60).map(|i| readers.at(i)).collect::<Vec<_>>());
        // As sliding windows: wherever a step is one and every element is read.
        let every = (0..60).all(|i| readers.at(i).count > 0);
        assert_eq!(readers.sliding(&Bins::Sliding(w)).is_some(), s == 1 && every, "{w:?}");
    }
}

#[test]
fn no_elements_have_readers_of_one_window() {
    let w = Windows::pool(7, 2, 2, 1, Pad::default(), false, H).unwrap();
    let readers = Readers::new(&Bins::Sliding(w)).unwrap();
    assert_eq!(readers.of(0..0), 0..1);
    assert_eq!((readers.of(6..7), readers.of(5..7), readers.of(0..7)), (2..3, 2..3, 0..3));
    assert!(Readers::new(&Bins::Listed { in_len: 0, windows: Vec::new() }).unwrap().is_empty());
}

// --------------------------------------------------------------------------------------------------------- fractional

#[test]
fn fractional_windows_are_their_formula() {
    for (n, k, m) in [(1, 1, 1), (9, 2, 5), (9, 2, 1), (40, 3, 38), (41, 3, 20), (100, 1, 7)] {
        let intervals = Intervals::new(n, k, Shrunk::To(m), H).unwrap();
        assert_eq!((intervals.in_len, intervals.kernel, intervals.out_len), (n, k, m));
        let step = if m > 1 { (n - k) as f64 / (m - 1) as f64 } else { 0.0 };
        let mut longest = 0;
        for u in (0..64).map(|i| f64::from(i) / 64.0) {
            let start = |o: usize| ((o as f64 + u) * step).floor() as usize - (u * step).floor() as usize;
            let placed = intervals.placed(u);
            let found: Vec<_> = (0..m).map(|o| placed.at(o)).collect();
            let wanted: Vec<_> = (0..m).map(|o| if o + 1 == m { n - k } else { start(o) }).collect();
            assert_eq!(found, wanted, "{n} {k} {m} {u}");
            longest = found.windows(2).map(|w| w[1] - w[0]).fold(longest, usize::max);
        }
        let said = intervals.longest_step();
        assert!(longest <= said && said <= step as usize + 2, "{n} {k} {m}: {longest} {said}");
    }
    let by = |ratio| Intervals::new(10, 2, Shrunk::By(ratio), H).map(|i| i.out_len).map_err(|e| e.to_string());
    assert_eq!((by(0.5), by(0.19), by(0.89)), (Ok(5), Ok(1), Ok(8)));
    for ratio in [0.0, 1.0, -0.5, 1.5, f64::NAN] {
        assert_eq!(by(ratio), Err(format!("output_ratio[0] = {ratio}: must be above 0 and below 1")));
    }
    let rest = "must be from 1 to 9, for kernel_size[0] = 2 and axis H of 10 elements";
    assert_eq!(by(0.05), Err(format!("output_ratio[0] = 0.05: gives 0 windows, {rest}")));
    let to = |n, k, m| text(Intervals::new(n, k, Shrunk::To(m), H));
    assert_eq!(
        (to(10, 2, 10), to(10, 2, 0)),
        (format!("output_size[0] = 10: {rest}"), format!("output_size[0] = 0: {rest}"))
    );
    assert_eq!((to(10, 2, 9), to(10, 10, 1)), ("accepted".to_owned(), "accepted".to_owned()));
    assert_eq!(to(0, 1, 1), "axis H = 0 elements: must be at least 1");
    assert_eq!(to(5, 0, 1), "kernel_size[0] = 0: must be at least 1");
    assert_eq!(to(5, 6, 1), "kernel_size[0] = 6 exceeds axis H: 5 elements");
}

#[test]
fn random_numbers_are_those_of_splitmix64() {
    // The first outputs for the seed 1234567, of which the upper 53 bits are kept.
    let known: [u64; 5] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    for (i, k) in known.into_iter().enumerate() {
        assert_eq!(random(1_234_567, i as u64), (k >> 11) as f64 / (1_u64 << 53) as f64);
    }
}

// --------------------------------------------------------------------------------------------------------------- grid

/// The position in an array of `n` that lies at `v`, as the rule for outside says; none where zeros are.
fn at(v: i64, n: usize, outside: grid::Outside, align: bool) -> Option<usize> {
    let forth: Vec<usize> = (0..n).collect();
    let turned: Vec<usize> = match outside {
        grid::Outside::Zeros => return usize::try_from(v).ok().filter(|i| *i < n),
        grid::Outside::Border => return Some(v.clamp(0, n as i64 - 1) as usize),
        grid::Outside::Reflection if align => (0..n).chain((1..n.max(2) - 1).rev()).collect(),
        grid::Outside::Reflection => forth.iter().copied().chain((0..n).rev()).collect(),
    };
    Some(turned[v.rem_euclid(turned.len() as i64) as usize])
}

/// What a coordinate reads, by the definition.
fn reads(n: usize, align: bool, filter: grid::Filter, outside: grid::Outside, c: f64) -> BTreeMap<usize, f64> {
    let len = n as f64;
    let mut x = if align { (c + 1.0) / 2.0 * (len - 1.0) } else { ((c + 1.0) * len - 1.0) / 2.0 };
    if filter != grid::Filter::Cubic {
        x = match outside {
            grid::Outside::Zeros => x,
            grid::Outside::Border => x.clamp(0.0, len - 1.0),
            grid::Outside::Reflection => {
                let (low, high) = if align { (0.0, len - 1.0) } else { (-0.5, len - 0.5) };
                while high > low && !(low..=high).contains(&x) {
                    x = if x < low { 2.0 * low - x } else { 2.0 * high - x };
                }
                x.clamp(0.0, len - 1.0)
            }
        };
    }
    let a = -0.75;
    let weight = |d: f64| match (filter, d.abs()) {
        (grid::Filter::Linear, r) => (1.0 - r).max(0.0),
        (_, r) if r < 1.0 => (a + 2.0) * r.powi(3) - (a + 3.0) * r.powi(2) + 1.0,
        (_, r) if r < 2.0 => a * (r.powi(3) - 5.0 * r.powi(2) + 8.0 * r - 4.0),
        _ => 0.0,
    };
    let low = x.floor() as i64;
    let taps: Vec<(i64, f64)> = match filter {
        grid::Filter::Nearest => vec![(x.round_ties_even() as i64, 1.0)],
        _ => (low - 2..=low + 3).map(|i| (i, weight(x - i as f64))).collect(),
    };
    let mut found = BTreeMap::new();
    for (i, w) in taps {
        if let Some(i) = at(i, n, outside, align).filter(|_| w != 0.0) {
            *found.entry(i).or_default() += w;
        }
    }
    found
}

#[test]
fn coordinates_read_what_the_definition_reads() {
    let outsides = [grid::Outside::Zeros, grid::Outside::Border, grid::Outside::Reflection];
    let filters = [grid::Filter::Nearest, grid::Filter::Linear, grid::Filter::Cubic];
    for (n, align) in [1, 2, 3, 6].into_iter().flat_map(|n| [false, true].map(|a| (n, a))) {
        let axis = Axis::new(n, align);
        for (filter, outside) in filters.into_iter().flat_map(|f| outsides.map(|o| (f, o))) {
            for c in (-256..=256).map(|i| f64::from(i) / 64.0) {
                let (place, slope) = axis.place(c, filter, outside);
                let mut found = BTreeMap::new();
                for tap in (0..filter.taps()).map(|j| axis.tap(j, place, slope, filter, outside)) {
                    *found.entry(grid::whole(tap.at)).or_insert(0.0) += tap.weight;
                }
                let wanted = reads(n, align, filter, outside, c);
                for i in 0..n {
                    let (a, b) = (found.get(&i).unwrap_or(&0.0), wanted.get(&i).unwrap_or(&0.0));
                    assert!((a - b).abs() < 1e-12, "{n} {align} {filter:?} {outside:?} {c}: {found:?}, not {wanted:?}");
                }
            }
        }
    }
}

#[test]
fn taps_of_a_point_run_along_the_axis() {
    for filter in [grid::Filter::Nearest, grid::Filter::Linear, grid::Filter::Cubic] {
        let axis = Axis::new(9, true);
        for c in (-2..=2).map(|i| f64::from(i) / 16.0) {
            let (place, slope) = axis.place(c, filter, grid::Outside::Zeros);
            let found: Vec<_> =
                (0..filter.taps()).map(|j| axis.tap(j, place, slope, filter, grid::Outside::Zeros).at).collect();
            assert!(found.windows(2).all(|w| w[1] == w[0] + 1.0), "{filter:?} {c}: {found:?}");
        }
    }
}

#[test]
fn places_beyond_the_farthest_are_nowhere() {
    let axis = Axis::new(3, true); // the place is the coordinate plus 1
    let place = |v: f64, outside| axis.place(v - 1.0, grid::Filter::Linear, outside);
    let next = grid::FARTHEST + 1.0;
    assert_eq!(place(grid::FARTHEST, grid::Outside::Zeros), (grid::FARTHEST, 1.0));
    assert_eq!(place(-grid::FARTHEST, grid::Outside::Zeros), (-grid::FARTHEST, 1.0));
    for v in [next, -next, f64::NAN] {
        assert_eq!(place(v, grid::Outside::Zeros), (-8.0, 0.0));
        assert_eq!(place(v, grid::Outside::Border), (if v > 0.0 { 2.0 } else { 0.0 }, 0.0));
        assert_eq!(place(v, grid::Outside::Reflection), (0.0, 0.0));
    }
    let taps = |filter: grid::Filter| filter.taps();
    assert_eq!([grid::Filter::Nearest, grid::Filter::Linear, grid::Filter::Cubic].map(taps), [1, 2, 4]);
}

#[test]
fn the_edge_moves_nothing() {
    for align in [false, true] {
        let axis = Axis::new(4, align);
        let slope = |c: f64, outside| axis.place(c, grid::Filter::Linear, outside).1;
        let (scale, edge) = if align { (1.5, 1.0) } else { (2.0, 0.75) }; // the centres of first and last
        for (c, inside) in
            [(-edge - 0.1, false), (-edge, false), (-edge + 0.1, true), (edge - 0.1, true), (edge, false)]
        {
            assert_eq!(slope(c, grid::Outside::Border), if inside { scale } else { 0.0 }, "{align} {c}");
            assert_eq!(slope(c, grid::Outside::Zeros), scale, "{align} {c}");
        }
        assert_eq!(slope(0.3, grid::Outside::Reflection), scale);
        assert_eq!(slope(1.7, grid::Outside::Reflection), -scale);
        assert_eq!((slope(edge, grid::Outside::Reflection), slope(-edge, grid::Outside::Reflection)), (0.0, 0.0));
    }
}

// ---------------------------------------------------------------------------------------------------------------- roi

/// `(weights by element, whether a zero was read)` of bin `o`, from its sample points.
fn sampled(side: &Side, sampling: Option<usize>, aligned: bool, o: usize) -> (BTreeMap<usize, Vec<f64>>, bool, usize) {
    let offset = if aligned { 0.5 } else { 0.0 };
    let (start, end) = (side.ends[0] - offset, side.ends[1] - offset);
    let size = if aligned { end - start } else { (end - start).max(1.0) };
    let bin = size / side.bins as f64;
    let points = sampling.unwrap_or(bin.ceil().max(0.0) as usize);
    let (mut found, mut zero) = (BTreeMap::<usize, Vec<f64>>::new(), false);
    for i in 0..points {
        let x = start + o as f64 * bin + (i as f64 + 0.5) * bin / points as f64;
        if !(-1.0..=side.len as f64).contains(&x) {
            zero = true;
            continue;
        }
        let x = x.clamp(0.0, (side.len - 1) as f64);
        let (low, t) = (x as usize, x.fract());
        found.entry(low).or_default().push(1.0 - t);
        if t > 0.0 {
            found.entry(low + 1).or_default().push(t);
        } else {
            zero = true;
        }
    }
    (found, zero, points)
}

#[test]
fn bins_of_a_box_take_what_their_points_read() {
    let ends = [
        [0.0, 4.0],
        [1.3, 6.1],
        [-3.0, 2.5],
        [5.5, 14.0],
        [-30.0, 40.0],
        [2.0, 2.0],
        [6.0, 1.5],
        [-9.0, -4.0],
        [20.0, 31.0],
    ];
    // One table after another in the same memory, as boxes follow on each other.
    let (mut takes, mut extremes, mut only) =
        (Takes::<f64>::default(), Takes::<Extremes>::default(), Takes::<()>::default());
    for (ends, bins, len) in ends.into_iter().flat_map(|e| [(1, 8), (3, 8), (2, 1), (3, 5)].map(|(b, n)| (e, b, n))) {
        let side = Side { ends, bins, len };
        for (sampling, aligned) in
            [None, Some(1), Some(2), Some(5), Some(40)].into_iter().flat_map(|s| [(s, false), (s, true)])
        {
            let what = format!("{side:?} {sampling:?} {aligned}");
            let points = side.points(sampling, aligned);
            takes.sample(&points).unwrap();
            extremes.sample(&points).unwrap();
            only.sample(&points).unwrap();
            let mut used = BTreeSet::new();
            for o in 0..bins {
                let (wanted, zero, points) = sampled(&side, sampling, aligned, o);
                used.extend(wanted.keys().copied());
                assert_eq!(takes.zeros[o], zero, "{what} bin {o}");
                let found: Vec<_> = takes.bin(o).collect();
                assert_eq!(
                    found.iter().map(|f| f.0).collect::<Vec<_>>(),
                    wanted.keys().copied().collect::<Vec<_>>(),
                    "{what} bin {o}"
                );
                assert_eq!(only.bin(o).map(|f| f.0).collect::<Vec<_>>(), wanted.keys().copied().collect::<Vec<_>>());
                for ((i, w), (_, e)) in found.into_iter().zip(extremes.bin(o)) {
                    let all = &wanted[&i];
                    assert!((w - all.iter().sum::<f64>() / points as f64).abs() < 1e-12, "{what} bin {o}");
                    let ends = (all.iter().copied().fold(0.0, f64::max), all.iter().copied().fold(1.0, f64::min));
                    assert!(
                        (e.largest - ends.0).abs() < 1e-12 && (e.smallest - ends.1).abs() < 1e-12,
                        "{what} bin {o}"
                    );
                }
            }
            assert_eq!(takes.used, used.iter().copied().collect::<Vec<_>>(), "{what}");
            assert_eq!(takes.extent(), used.first().map_or(0..0, |lo| *lo..used.last().unwrap() + 1), "{what}");
        }
    }
}

#[test]
fn memory_for_what_a_bin_takes_is_asked_for_first() {
    let mut takes = Takes::<f64>::default();
    takes.sample(&Side { ends: [0.0, 1.0], bins: 1, len: 4 }.points(Some(40), false)).unwrap();
    assert_eq!(takes.used, [0, 1]);
    let room = |t: &Takes<f64>| t.used.capacity().min(t.places.capacity()).min(t.weights.capacity());
    assert!(room(&takes) >= 80, "two for each point");
    assert_eq!(MAX_SAMPLING, 65_536); // (who takes a number from outside refuses more)
    let endless = Side { ends: [0.0, 1.0], bins: 1, len: 4 }.points(Some(1 << 62), false);
    assert_eq!(text(takes.sample(&endless)), "cannot allocate a table of 9223372036854775808 entries");
}

/// Boxes so large that a double's last place is an element, whose two bins meet within the image: the last points of one
/// are rounded past the first of the next.
#[test]
fn bins_that_overtake_each_other_take_what_their_points_read() {
    let sides = [
        ([-6_605_865_859_678_245.0, 6_605_865_859_678_254.0], 6, true),
        ([-7_410_708_371_210_240.0, 7_410_708_371_210_247.0], 7, false),
        ([-7_648_202_882_809_894.0, 7_648_202_882_809_894.0], 14, true),
        ([-8_180_366_510_653_442.0, 8_180_366_510_653_454.0], 31, false),
    ];
    let mut takes = Takes::<f64>::default();
    for (ends, len, aligned) in sides {
        takes.sample(&Side { ends, bins: 2, len }.points(None, aligned)).unwrap();
        let offset = if aligned { 0.5 } else { 0.0 };
        let (start, bin) = (ends[0] - offset, ((ends[1] - offset) - (ends[0] - offset)) / 2.0);
        let grid = bin.ceil();
        let mut used = BTreeSet::new();
        for o in 0..2 {
            let mut wanted = BTreeMap::<usize, f64>::new();
            for i in (0..64).map(|i| if o == 0 { grid - 64.0 + f64::from(i) } else { f64::from(i) }) {
                let x = start + f64::from(o) * bin + (i + 0.5) * bin / grid;
                if (-1.0..=len as f64).contains(&x) {
                    let x = x.clamp(0.0, (len - 1) as f64);
                    *wanted.entry(x as usize).or_default() += 1.0 - x.fract();
                    if x.fract() > 0.0 {
                        *wanted.entry(x as usize + 1).or_default() += x.fract();
                    }
                }
            }
            used.extend(wanted.keys().copied());
            let found: Vec<_> = takes.bin(o as usize).map(|(i, w)| (i, w * grid)).collect();
            assert_eq!(found.len(), wanted.len(), "{ends:?} bin {o}: {found:?}, not {wanted:?}");
            for ((i, w), (j, v)) in found.iter().zip(&wanted) {
                assert!(i == j && (w - v).abs() < 1e-9, "{ends:?} bin {o}: {found:?}, not {wanted:?}");
            }
        }
        assert_eq!(takes.used, used.into_iter().collect::<Vec<_>>(), "{ends:?}");
        // (What this is about: some element of the first bin lies behind one of the second.)
        assert!(takes.bin(0).last().map(|t| t.0) > takes.bin(1).next().map(|t| t.0), "{ends:?}");
    }
}

#[test]
fn bins_of_whole_elements_are_their_definition() {
    let mut takes = Takes::<()>::default();
    for (ends, bins, len) in [[0.0, 4.0], [1.4, 6.5], [-3.0, 2.5], [5.5, 14.0], [6.0, 1.0], [-9.0, -4.0], [3.0, 3.0]]
        .into_iter()
        .flat_map(|e| [(1, 8), (3, 8), (2, 1), (5, 7)].map(|(b, n)| (e, b, n)))
    {
        takes.quantise(&Side { ends, bins, len }).unwrap();
        let (first, last) = (ends[0].round(), ends[1].round());
        let bin = (last - first + 1.0).max(1.0) / bins as f64;
        for o in 0..bins {
            let edge = |v: f64| (first + v).clamp(0.0, len as f64) as usize;
            // (A hair against what a product of fractions adds to a whole number.)
            let wanted: Vec<_> =
                (edge((o as f64 * bin + 1e-9).floor())..edge(((o + 1) as f64 * bin - 1e-9).ceil())).collect();
            assert_eq!(takes.bin(o).map(|t| t.0).collect::<Vec<_>>(), wanted, "{ends:?} {bins} {len} bin {o}");
            assert!(!takes.zeros[o]);
        }
    }
}
