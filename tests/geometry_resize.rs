//! One axis of a resize against its definition, written plainly: positions, filters, and what lies outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::f64::consts::PI;

use upsample_rs::error::Error;
use upsample_rs::geometry::coords::{AxisMap, Coordinates, NearestRounding, Rule, scaled_len};
use upsample_rs::geometry::filter::Filter;
use upsample_rs::geometry::sampler::{Edge, Method, Outside, Sampler};
use upsample_rs::geometry::window::AxisName;

const COORDINATES: [Coordinates; 6] = [
    Coordinates::HalfPixel,
    Coordinates::HalfPixelSymmetric,
    Coordinates::PytorchHalfPixel,
    Coordinates::AlignCorners,
    Coordinates::Asymmetric,
    Coordinates::TfCropAndResize,
];
const EDGES: [Edge; 6] = [Edge::Clamp, Edge::Reflect, Edge::Mirror, Edge::Wrap, Edge::Constant, Edge::Zero];
const ROUNDINGS: [NearestRounding; 4] = [
    NearestRounding::RoundPreferFloor,
    NearestRounding::RoundPreferCeil,
    NearestRounding::Floor,
    NearestRounding::Ceil,
];
const FILTERS: [Filter; 8] = [
    Filter::Linear,
    Filter::Cubic(-0.75),
    Filter::Lanczos(2),
    Filter::Lanczos(3),
    Filter::Gaussian,
    Filter::Mitchell,
    Filter::Box,
    Filter::Hamming,
];

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-11 * (1.0 + a.abs().max(b.abs()))
}

// -------------------------------------------------------------------------------------------------------- coordinates

/// Position of output `o` of `m` among `n` inputs, as ONNX says it.
fn position(c: Coordinates, (n, m): (usize, usize), factor: Option<f64>, (start, end): (f64, f64), o: usize) -> f64 {
    let (len, o) = (n as f64, o as f64);
    let scale = factor.unwrap_or(m as f64 / len);
    let length = factor.map_or(m as f64, |f| f * len);
    match c {
        Coordinates::PytorchHalfPixel if m == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
        Coordinates::HalfPixelSymmetric => len / 2.0 * (1.0 - m as f64 / length) + (o + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if length <= 1.0 => 0.0,
        Coordinates::AlignCorners => o * (len - 1.0) / (length - 1.0),
        Coordinates::Asymmetric => o / scale,
        Coordinates::TfCropAndResize if length <= 1.0 => (start + end) / 2.0 * (len - 1.0),
        Coordinates::TfCropAndResize => start * (len - 1.0) + o * (end - start) * (len - 1.0) / (length - 1.0),
    }
}

/// Lengths, a factor that gives the second one, and a region.
type Case = ((usize, usize), Option<f64>, (f64, f64));

fn cases() -> Vec<Case> {
    let regions = [(0.0, 1.0), (0.2, 0.7), (-0.3, 1.6), (0.9, 0.1), (0.0, 0.5), (0.5, 0.5)];
    let lengths = (1..=7).flat_map(|n| (1..=9).map(move |m| (n, m)));
    let sized = lengths.flat_map(|l| regions.map(|r| (l, None, r)));
    let factors = [0.3, 1.0 / 3.0, 0.5, 0.77, 1.0, 1.3, 2.0, 2.9];
    let scaled = (1..=7_usize).flat_map(|n| factors.map(|f| ((n, (n as f64 * f) as usize), Some(f), (0.1, 0.8))));
    sized.chain(scaled.filter(|((_, m), ..)| *m > 0)).collect()
}

#[test]
fn rules_are_their_formulas() {
    for c in COORDINATES {
        for (lengths, factor, region) in cases() {
            let (n, m) = lengths;
            let (rule, reversed) = c.rule(n, m, factor, region);
            let map = AxisMap { in_len: n, out_len: m, rule };
            let wanted: Vec<f64> = (0..m).map(|o| position(c, lengths, factor, region, o)).collect();
            let apart = n > 1 && factor.map_or(m as f64, |f| f * n as f64) > 1.0;
            let backwards = c == Coordinates::TfCropAndResize && region.1 < region.0 && apart;
            assert_eq!(reversed, backwards, "{c:?} {lengths:?} {factor:?} {region:?}");
            for (o, want) in wanted.iter().enumerate() {
                let p = map.position(if reversed { m - 1 - o } else { o });
                assert!(close(p.floor as f64 + p.frac, *want), "{c:?} {lengths:?} {factor:?} {region:?} {o}: {p:?}");
                assert!((0.0..1.0).contains(&p.frac));
            }
            let same = n == m && (0..m).all(|o| close(wanted[o], o as f64));
            assert_eq!(map.is_identity(), same, "{c:?} {lengths:?} {factor:?} {region:?}");
            if m > 1 {
                let apart = (wanted[m - 1] - wanted[0]).abs() / (m - 1) as f64;
                assert!(close(map.ratio(), apart), "{c:?} {lengths:?} {factor:?} {region:?}: {}", map.ratio());
            }
            check_distances(&map);
            check_period(&map);
        }
    }
}

#[test]
fn a_factor_that_gives_the_length_says_no_more() {
    for c in COORDINATES {
        for (n, m, f) in [(3, 6, 2.0), (4, 2, 0.5), (5, 5, 1.0), (1, 3, 3.0)] {
            assert_eq!(c.rule(n, m, Some(f), (0.1, 0.6)), c.rule(n, m, None, (0.1, 0.6)), "{c:?} {n} {m}");
        }
    }
}

fn check_distances(map: &AxisMap) {
    let ratio = map.ratio();
    if ratio == 0.0 {
        return;
    }
    for o in 0..map.out_len {
        let p = map.position(o);
        let x = p.floor as f64 + p.frac;
        for i in -4..map.in_len as i64 + 4 {
            let apart = i as f64 - x;
            assert!(close(map.distance(o, i), apart / ratio), "{map:?} {o} {i}");
            assert!(close(map.triangle(o, i), (1.0 - apart.abs() / ratio).max(0.0)), "{map:?} {o} {i}");
            let (left, right) = ((x - ratio / 2.0).max(i as f64 - 0.5), (x + ratio / 2.0).min(i as f64 + 0.5));
            let share = (right - left).max(0.0) / ratio;
            assert!(close(map.overlap(o, i), share), "{map:?} {o} {i}: {} {share}", map.overlap(o, i));
            let rounded = x.round().abs() < 1e-9 || !matches!(map.rule, Rule::Factor(_)); // of a whole number
            assert!(share > 1e-9 || map.overlap(o, i) == 0.0 || rounded, "{map:?} {o} {i}: a crumb");
        }
    }
}

/// A period is the smallest number of outputs after which positions repeat, a whole number of inputs on.
fn check_period(map: &AxisMap) {
    let (n, m) = (map.in_len, map.out_len);
    let smallest = |len: usize, outs: usize| match (1..=outs).find(|p| (p * len).is_multiple_of(outs)) {
        Some(p) => (p, p * len / outs),
        None => (0, len.min(1)), // one output, which has no next one
    };
    let wanted = match map.rule {
        Rule::HalfPixel | Rule::Asymmetric => smallest(n, m),
        Rule::AlignCorners => smallest(n - 1, m - 1),
        Rule::Factor(f) if f.fract() == 0.0 => (f as usize, 1),
        Rule::Factor(f) if (1.0 / f).fract() == 0.0 => (1, (1.0 / f) as usize),
        _ => (0, 0),
    };
    assert_eq!(map.period(), wanted, "{map:?}");
}

#[test]
fn periods_of_factors() {
    let period = |f| AxisMap { in_len: 12, out_len: 12, rule: Rule::Factor(f) }.period();
    assert_eq!([1.0, 3.0, 0.25, 0.5].map(period), [(1, 1), (3, 1), (1, 4), (1, 2)]);
    assert_eq!([2.5, 0.3, 0.75, -2.0, -0.5, 0.0].map(period), [(0, 0); 6]);
}

#[test]
fn indices_are_rounded_positions() {
    for c in COORDINATES {
        for ((n, m), factor, region) in cases().into_iter().filter(|case| case.1.is_none()) {
            let map = AxisMap { in_len: n, out_len: m, rule: c.rule(n, m, factor, region).0 };
            for (o, rounding) in (0..m).flat_map(|o| ROUNDINGS.map(|r| (o, r))) {
                assert_eq!(map.index(o, rounding), rounded(&map, o, rounding), "{map:?} {o} {rounding:?}");
            }
        }
    }
}

#[test]
fn indices_by_a_factor_are_rounded_positions() {
    for f in [0.25, 0.5, 1.0, 2.0, 8.0] {
        let affine = Rule::Affine { base: -1.25, slope: f };
        for rule in [Rule::Factor(f), Rule::AsymmetricFactor(f), Rule::Symmetric(f), affine] {
            let map = AxisMap { in_len: 6, out_len: 9, rule }; // binary fractions: nothing is rounded before
            for (o, rounding) in (0..9).flat_map(|o| ROUNDINGS.map(|r| (o, r))) {
                assert_eq!(map.index(o, rounding), rounded(&map, o, rounding), "{map:?} {o} {rounding:?}");
            }
        }
    }
}

#[test]
fn slivers_of_short_outputs_count_and_crumbs_of_long_ones_do_not() {
    let shared = |ratio: f64, common: f64| {
        let base = (ratio + 1.0) / 2.0 - common; // exact, as is the distance from input 0
        AxisMap { in_len: 5, out_len: 5, rule: Rule::Affine { base, slope: ratio } }.overlap(0, 0)
    };
    let (short, long) = (1.0 / 1024.0, 1024.0);
    assert_eq!(shared(short, 2_f64.powi(-41)), 2_f64.powi(-31));
    assert_eq!(shared(long, 2_f64.powi(-36)), 0.0);
    assert_eq!(shared(long, 2_f64.powi(-26)), 2_f64.powi(-36));
}

fn rounded(map: &AxisMap, o: usize, rounding: NearestRounding) -> i64 {
    let p = map.position(o);
    p.floor
        + match rounding {
            NearestRounding::Floor => 0,
            NearestRounding::Ceil => i64::from(p.frac > 0.0),
            NearestRounding::RoundPreferFloor => i64::from(p.frac > 0.5),
            NearestRounding::RoundPreferCeil => i64::from(p.frac >= 0.5),
        }
}

#[test]
fn lengths_of_factors_are_refused_by_name() {
    let refused = |n, f| scaled_len(n, f, AxisName { index: 1, rank: 3 }).unwrap_err().to_string();
    assert_eq!(refused(7, -1.0), "scale_factor[1] = -1: must be a finite number above 0");
    assert_eq!(refused(7, 0.0), "scale_factor[1] = 0: must be a finite number above 0");
    assert_eq!(refused(1, 0.5), "scale_factor[1] = 0.5: leaves axis H (1 elements) with none, must leave at least 1");
    assert_eq!(refused(1 << 62, 2.0), "scale_factor[1] = 2: makes axis H longer than 2**63 elements");
    let axis = AxisName { index: 0, rank: 1 };
    assert_eq!(scaled_len(1, 1.0, axis), Ok(1));
    assert_eq!(
        scaled_len(1, 9.2e18, axis),
        Err(Error::value("scale_factor[0] = 9200000000000000000: makes axis W longer than 2**63 elements"))
    );
}

// ------------------------------------------------------------------------------------------------------------ filters

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Every filter by its own formula.
fn weight(filter: Filter, x: f64) -> f64 {
    let r = x.abs();
    let (third, within) = (1.0 / 3.0, |support: f64, w: f64| if r < support { w } else { 0.0 });
    match filter {
        Filter::Linear => (1.0 - r).max(0.0),
        Filter::Cubic(a) if r < 1.0 => (a + 2.0) * r.powi(3) - (a + 3.0) * r.powi(2) + 1.0,
        Filter::Cubic(a) => within(2.0, a * (r.powi(3) - 5.0 * r.powi(2) + 8.0 * r - 4.0)),
        Filter::Mitchell if r < 1.0 => {
            let (b, c) = (third, third);
            ((12.0 - 9.0 * b - 6.0 * c) * r.powi(3) + (-18.0 + 12.0 * b + 6.0 * c) * r.powi(2) + 6.0 - 2.0 * b) / 6.0
        }
        Filter::Mitchell => {
            let (b, c) = (third, third);
            let cube = (-b - 6.0 * c) * r.powi(3) + (6.0 * b + 30.0 * c) * r.powi(2);
            within(2.0, (cube + (-12.0 * b - 48.0 * c) * r + 8.0 * b + 24.0 * c) / 6.0)
        }
        Filter::Lanczos(n) => within(f64::from(n), sinc(r) * sinc(r / f64::from(n))),
        Filter::Gaussian => within(3.0, (-2.0 * r * r).exp()),
        Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
        Filter::Hamming => within(1.0, sinc(r) * (0.54 + 0.46 * (PI * r).cos())),
    }
}

#[test]
fn filters_are_their_formulas() {
    for filter in FILTERS.into_iter().chain([Filter::Cubic(-0.5), Filter::Lanczos(4), Filter::Lanczos(5)]) {
        for i in -700..=700 {
            let x = f64::from(i) / 128.0;
            let (found, wanted) = (filter.at(x), weight(filter, x));
            assert!((found - wanted).abs() < 1e-14, "{filter:?} at {x}: {found} {wanted}");
        }
        let reaches = (0..7000).map(|i| f64::from(i) / 1000.0).filter(|x| filter.at(*x) != 0.0).fold(0.0, f64::max);
        assert!(filter.support() - reaches <= 0.0011 && reaches <= filter.support(), "{filter:?}: {reaches}");
        let whole = |x: f64| (-6..=6).map(|k| filter.at(x + f64::from(k))).sum::<f64>();
        let ones = (0..16).all(|i| (whole(f64::from(i) / 16.0) - 1.0).abs() < 1e-14);
        assert!(filter.sums_to_one() == ones || filter == Filter::Box, "{filter:?}");
        let interpolates = (0..6).all(|k| filter.at(f64::from(k)) == f64::from(u8::from(k == 0)));
        assert_eq!(filter.interpolates(), interpolates, "{filter:?}");
    }
}

// ----------------------------------------------------------------------------------------------------------- samplers

/// Which input lies at position `v`.
fn resolve(v: i64, n: usize, edge: Edge) -> Option<usize> {
    let forth: Vec<usize> = (0..n).collect();
    let turned: Vec<usize> = match edge {
        Edge::Clamp => return Some(v.clamp(0, n as i64 - 1) as usize),
        Edge::Constant | Edge::Zero => return usize::try_from(v).ok().filter(|&i| i < n),
        Edge::Wrap => forth,
        Edge::Reflect => (0..n).chain((0..n).rev()).collect(),
        Edge::Mirror => (0..n).chain((1..n.max(2) - 1).rev()).collect(),
    };
    Some(turned[v.rem_euclid(turned.len() as i64) as usize])
}

/// Weights by input, `None` standing for the constant.
type Weights = BTreeMap<Option<usize>, f64>;

/// The weights of output `o`; none if it is the constant.
fn weights(map: &AxisMap, method: Method, outside: Outside, o: usize) -> Option<Weights> {
    let n = map.in_len;
    let p = map.position(o);
    let x = p.floor as f64 + p.frac;
    let exact = 1e-10 * n as f64; // a position computed in double
    if outside.extrapolate && !(-exact..=(n - 1) as f64 + exact).contains(&x) {
        return None;
    }
    let near = p.floor - 100..=p.floor + 100;
    let row: Vec<(i64, f64)> = match method {
        Method::Nearest(rounding) => vec![(rounded(map, o, rounding), 1.0)],
        Method::Bins => {
            let (start, end) = (o * n / map.out_len, ((o + 1) * n).div_ceil(map.out_len));
            (start..end).map(|i| (i as i64, 1.0)).collect()
        }
        Method::Area if map.ratio() == 0.0 => near.map(|i| (i, weight(Filter::Linear, i as f64 - x))).collect(),
        Method::Area => {
            let half = map.ratio() / 2.0;
            let share = |i: f64| ((x + half).min(i + 0.5) - (x - half).max(i - 0.5)).max(0.0);
            near.map(|i| (i, share(i as f64))).collect()
        }
        Method::Filtered { filter, antialias } => {
            let wider = if antialias { map.ratio().max(1.0) } else { 1.0 };
            // (As the product says it, so that what lies on the edge of a box does so exactly.)
            let at = |i: i64| if wider > 1.0 { map.distance(o, i) } else { (i - p.floor) as f64 - p.frac };
            near.map(|i| (i, weight(filter, at(i)))).collect()
        }
    };
    let total: f64 = row.iter().map(|(_, w)| w).sum();
    let row: Vec<(i64, f64)> = row.into_iter().filter(|(_, w)| w.abs() > 1e-13).map(|(i, w)| (i, w / total)).collect();
    let outside_of = |i: i64| i < 0 || i >= n as i64;
    if outside.exclude && row.iter().all(|(i, _)| outside_of(*i)) {
        return Some([(Some(if row[0].0 < 0 { 0 } else { n - 1 }), 1.0)].into());
    }
    let mut found = Weights::new();
    let kept: f64 = row.iter().filter(|(i, _)| !outside_of(*i)).map(|(_, w)| w).sum();
    if outside.exclude && kept.abs() < 1e-9 {
        return Some(Weights::new()); // so far outside that what is left cancels: nothing is said of it
    }
    for (i, w) in row {
        if outside.exclude && !outside_of(i) {
            *found.entry(Some(i as usize)).or_default() += w / kept;
        } else if !outside.exclude {
            let at = resolve(i, n, outside.edge);
            if matches!((method, at), (Method::Nearest(_), None)) {
                return None;
            }
            if at.is_some() || outside.edge == Edge::Constant {
                *found.entry(at).or_default() += w;
            }
        }
    }
    Some(found)
}

fn check(map: AxisMap, method: Method, outside: Outside) {
    let what = format!("{map:?} {method:?} {outside:?}");
    let sampler = Sampler::new(map, method, outside).unwrap();
    let (taps, inside, (before, after)) = (sampler.taps(false).unwrap(), sampler.inside(), sampler.margins());
    let positions = if method == Method::Bins { AxisMap { rule: Rule::HalfPixel, ..map } } else { map };
    assert_eq!((sampler.map(), sampler.edge(), taps.in_len()), (&positions, outside.edge, map.in_len + before + after));
    let mut same = map.in_len == map.out_len;
    let mut ends = (before == 0, after == 0);
    for o in 0..map.out_len {
        let wanted = weights(&positions, method, outside, o);
        assert_eq!(wanted.is_some(), inside.contains(&o), "{what} at {o}: {inside:?}");
        let Some(wanted) = wanted else {
            same = false;
            continue;
        };
        if wanted.is_empty() && outside.exclude {
            continue;
        }
        let (r, mut found) = (taps.at(o - inside.start), Weights::new());
        for (j, &w) in taps.weights(o - inside.start).iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let v = (r.start + j) as i64 - before as i64;
            *found.entry(resolve(v, map.in_len, outside.edge)).or_default() += w;
            ends = (ends.0 || r.start + j == 0, ends.1 || r.start + j + 1 == taps.in_len());
        }
        for key in wanted.keys().chain(found.keys()) {
            let (a, b) = (found.get(key).unwrap_or(&0.0), wanted.get(key).unwrap_or(&0.0));
            assert!((a - b).abs() < 1e-9, "{what} at {o}: {found:?}, not {wanted:?}");
        }
        same &= wanted.keys().eq([&Some(o)]);
    }
    // (A margin is as wide as some tap reaches, and no wider.)
    assert_eq!(ends, (true, true), "{what}: margins {before}, {after}");
    assert!(!sampler.is_identity() || same, "{what}: not the identity");
    let copies = matches!(map.rule, Rule::HalfPixel) && !matches!(method, Method::Filtered { .. });
    assert!(sampler.is_identity() || !same || !copies, "{what}: the identity");
    assert_eq!(sampler.is_move(), matches!(method, Method::Nearest(_)));
    if sampler.is_move() {
        let picks = sampler.picks().unwrap();
        let read = |o: usize| picks.at(o).map(|i| (i, 1));
        (0..taps.out_len()).for_each(|o| assert_eq!(read(o), Some((taps.at(o).start, 1)), "{what} at {o}"));
    }
}

fn methods() -> Vec<Method> {
    let filtered =
        FILTERS.into_iter().flat_map(|filter| [false, true].map(|a| Method::Filtered { filter, antialias: a }));
    filtered.chain([Method::Area, Method::Bins]).chain(ROUNDINGS.map(Method::Nearest)).collect()
}

fn outsides() -> impl Iterator<Item = Outside> {
    EDGES.into_iter().flat_map(|edge| [false, true].map(|exclude| Outside { edge, exclude, extrapolate: false }))
}

#[test]
fn samplers_are_their_definition() {
    for (n, m) in [(1, 1), (1, 4), (2, 1), (2, 5), (3, 3), (4, 7), (5, 2), (7, 3), (8, 4), (9, 1), (3, 40), (30, 3)] {
        for c in COORDINATES {
            for region in [(0.0, 1.0), (-0.6, 1.3), (0.2, 0.7), (1.5, 2.5), (-2.0, -1.0)] {
                if c != Coordinates::TfCropAndResize && region != (0.0, 1.0) {
                    continue;
                }
                let map = AxisMap { in_len: n, out_len: m, rule: c.rule(n, m, None, region).0 };
                for (method, outside) in methods().into_iter().flat_map(|m| outsides().map(move |o| (m, o))) {
                    check(map, method, outside);
                    if region != (0.0, 1.0) {
                        check(map, method, Outside { extrapolate: true, ..outside });
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_the_constant_alone_reads_one_element_outside() {
    let method = Method::Filtered { filter: Filter::Linear, antialias: false };
    let outside = Outside { edge: Edge::Constant, ..Outside::default() };
    let margins = |base, out_len| {
        let map = AxisMap { in_len: 3, out_len, rule: Rule::Affine { base, slope: 500.0 } };
        Sampler::new(map, method, outside).unwrap().margins()
    };
    assert_eq!([margins(-1000.0, 3), margins(0.0, 3), margins(-1000.0, 5)], [(1, 0), (0, 1), (1, 1)]);
}

#[test]
fn a_hair_outside_is_at_the_end() {
    let inside = |in_len, base| {
        let map = AxisMap { in_len, out_len: 1, rule: Rule::Affine { base, slope: 1.0 } };
        let outside = Outside { extrapolate: true, ..Outside::default() };
        Sampler::new(map, Method::Area, outside).unwrap().inside().len()
    };
    // As long as the axis is, for a position is rounded to so many digits.
    for n in [2, 1_000_000] {
        let hair = 1e-10 * n as f64;
        assert_eq!([-2.0 * hair, -0.5 * hair, 0.0].map(|p| inside(n, p)), [0, 1, 1], "{n}");
        let last = (n - 1) as f64;
        assert_eq!([last, last + 0.5 * hair, last + 2.0 * hair].map(|p| inside(n, p)), [1, 1, 0], "{n}");
    }
}

#[test]
fn weights_that_cancel_stay_finite() {
    // Of 4 taps 2 lie inside, whose sum is zero but for rounding where the filter's parameter is 5/3.
    let weights = |steps: i32| {
        let filter = Filter::Cubic(5.0 / 3.0 + f64::from(steps) * f64::EPSILON);
        let map = AxisMap { in_len: 2, out_len: 1, rule: Rule::Affine { base: -0.75, slope: 1.0 } };
        let outside = Outside { exclude: true, ..Outside::default() };
        let method = Method::Filtered { filter, antialias: false };
        Sampler::new(map, method, outside).unwrap().taps(false).unwrap().weights(0).to_vec()
    };
    let found: Vec<_> = (-64..64).map(weights).collect();
    assert!(found.iter().flatten().all(|w| w.is_finite()), "{found:?}");
    assert!(found.iter().any(|w| w.iter().sum::<f64>() == 0.0), "{found:?}");
}

#[test]
fn what_lies_outside_is_found() {
    for (n, edge) in (1..=5).flat_map(|n| EDGES.map(|e| (n, e))) {
        let map = AxisMap { in_len: n, out_len: 3, rule: Rule::HalfPixel };
        let sampler = Sampler::new(map, Method::Area, Outside { edge, ..Outside::default() }).unwrap();
        for v in -17..20 {
            assert_eq!(sampler.source(v), resolve(v, n, edge), "{n} {edge:?} {v}");
        }
    }
}

#[test]
fn a_sampler_of_whole_positions_is_the_identity_where_the_filter_interpolates() {
    let map = |out_len| AxisMap { in_len: 5, out_len, rule: Rule::HalfPixel };
    for (method, m) in methods().into_iter().flat_map(|method| [5, 6].map(|m| (method, m))) {
        let interpolates = !matches!(method, Method::Filtered { filter: Filter::Gaussian | Filter::Mitchell, .. });
        let sampler = Sampler::new(map(m), method, Outside::default()).unwrap();
        assert_eq!(sampler.is_identity(), interpolates && m == 5, "{method:?} {m}");
        assert!(!sampler.is_identity() || sampler.taps(false).unwrap().is_identity(), "{method:?}");
    }
}

#[test]
fn what_weighs_has_no_sources_but_those_at_its_place() {
    let map = AxisMap { in_len: 3, out_len: 5, rule: Rule::HalfPixel };
    let picks = Sampler::new(map, Method::Area, Outside::default()).unwrap().picks().unwrap();
    assert_eq!((0..5).map(|o| picks.at(o)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None, None]);
}

#[test]
fn tables_too_large_to_make_are_refused() {
    let most = 1 << 29;
    let refused = |in_len, out_len, method| {
        let map = AxisMap { in_len, out_len, rule: Rule::HalfPixel };
        matches!(Sampler::new(map, method, Outside::default()), Err(Error::Memory(_)))
    };
    let nearest = Method::Nearest(NearestRounding::Floor);
    assert_eq!([most, most + 1].map(|m| refused(5, m, nearest)), [false, true]);
    let linear = |antialias| Method::Filtered { filter: Filter::Linear, antialias };
    // Four weights for each, roughly; widened, as many as the ratio says.
    assert_eq!([most / 4, most / 4 + 1].map(|m| refused(5, m, linear(true))), [false, true]);
    assert_eq!([1 << 27, 1 << 30].map(|n| refused(n, 1, linear(true))), [false, true]);
    assert_eq!([(1 << 28) - 1, 1 << 28].map(|n| refused(n, 1, linear(true))), [false, true]);
    assert!(!refused(1 << 40, 1, linear(false)));
    assert_eq!([1 << 28, 1 << 30].map(|n| refused(n, 1, Method::Bins)), [false, true]);
    // As many as there are inputs, and two for each output.
    assert_eq!([most - 4, most - 3].map(|n| refused(n, 2, Method::Bins)), [false, true]);
    let map = AxisMap { in_len: 5, out_len: 1 << 28, rule: Rule::HalfPixel };
    let text = Sampler::new(map, linear(true), Outside::default()).unwrap_err().to_string();
    assert_eq!(text, "weights of an axis = 1073741824: at most 536870912 are made for its 268435456 outputs");
}

#[test]
fn margins_too_wide_to_make_are_refused() {
    let reflect = Outside { edge: Edge::Reflect, ..Outside::default() };
    let far = |base| {
        let map = AxisMap { in_len: 5, out_len: 2, rule: Rule::Affine { base, slope: 1.0 } };
        Sampler::new(map, Method::Area, reflect).map(|s| s.margins()).map_err(|e| e.to_string())
    };
    let most = (1 << 29) as f64;
    assert_eq!(far(-most), Ok((1 << 29, 0)));
    let text = "elements outside an axis = 536870913: at most 536870912 are made beside its 5 inputs";
    assert_eq!(far(-most - 1.0), Err(text.to_owned()));
    assert_eq!(far(most + 3.0), Ok((0, 1 << 29)));
    assert_eq!(far(most + 4.0), Err(text.to_owned()));
}
