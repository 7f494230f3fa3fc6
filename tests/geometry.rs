//! Axis arithmetic against its definitions: every small case, random ones, and the ends of 64 bits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use upsample_rs::geometry::bins::Bins;
use upsample_rs::geometry::coords::{AxisMap, Coordinates, NearestRounding, Rule, scaled_len};
use upsample_rs::geometry::filter::Filter;
use upsample_rs::geometry::phase::{Links, Phases};
use upsample_rs::geometry::readers::{Blocks, Part, Readers};
use upsample_rs::geometry::sampler::{Edge, Method, Outside, Sampler};
use upsample_rs::geometry::taps::{Period, Picks, Taps};
use upsample_rs::geometry::window::{AxisName, Pad, Padding, Windows, span, transposed_len};
use upsample_rs::geometry::winograd::{Axis, Class, Shape};
use upsample_rs::geometry::{Reach, gcd};

const AXIS: AxisName = AxisName { index: 1, rank: 2 };

fn positions(r: Reach) -> Vec<usize> {
    (0..r.count).map(|j| r.start + j * r.step).collect()
}

/// The smallest range that holds all of these.
fn hull(all: impl IntoIterator<Item = usize>) -> Range<usize> {
    let all: Vec<usize> = all.into_iter().collect();
    all.iter().min().map_or(0..0, |&lo| lo..all.iter().max().unwrap() + 1)
}

fn covers(range: &Range<usize>, inner: &Range<usize>) -> bool {
    inner.is_empty() || (range.start <= inner.start && inner.end <= range.end)
}

// ------------------------------------------------------------------------------------------------------------ windows

/// `(position, tap)` of window `o`, by definition.
fn window(w: &Windows, o: usize) -> Vec<(usize, usize)> {
    (0..w.kernel)
        .filter_map(|k| (o * w.stride + k * w.dilation).checked_sub(w.pad.before).map(|i| (i, k)))
        .filter(|&(i, _)| i < w.in_len)
        .collect()
}

/// Some windows alone are those of the whole, where what they read begins.
fn check_part_of_windows(w: &Windows, outs: &Range<usize>) {
    let (part, held) = (w.part(outs), w.inputs(outs.clone()));
    let (whole_bins, part_bins) = (Bins::Sliding(*w), Bins::Sliding(part));
    assert_eq!((part.in_len, part.out_len), (held.len(), outs.len()), "{w:?} {outs:?}");
    for o in 0..outs.len() {
        let (found, wanted) = (part.at(o), w.at(outs.start + o));
        let shifted: Vec<_> = positions(found).iter().map(|i| i + held.start).collect();
        assert_eq!(shifted, positions(wanted), "{w:?} {outs:?} at {o}");
        let padded = (part_bins.with_padding(o), whole_bins.with_padding(outs.start + o));
        assert_eq!(padded.0, padded.1, "{w:?} {outs:?} padding at {o}");
    }
}

fn check_windows(w: &Windows) {
    let reaches: Vec<_> = (0..w.out_len).map(|o| window(w, o)).collect();
    for (o, expected) in reaches.iter().enumerate() {
        let found = w.at(o);
        assert_eq!(positions(found), expected.iter().map(|e| e.0).collect::<Vec<_>>(), "{w:?} at {o}");
        assert_eq!(found.end(), hull(positions(found)).end.max(found.start), "{w:?} end {o}");
        if let Some((_, tap)) = expected.first() {
            assert_eq!(w.skipped(o), *tap, "{w:?} skipped {o}");
        }
        assert_eq!(w.interior().contains(&o), expected.len() == w.kernel, "{w:?} interior {o}");
    }
    for a in 0..=w.out_len {
        for b in a..=w.out_len {
            let read = hull(reaches[a..b].iter().flatten().map(|e| e.0));
            let claimed = w.inputs(a..b);
            assert!(covers(&claimed, &read) && claimed.end <= w.in_len, "{w:?} inputs {a}..{b}: {claimed:?} {read:?}");
            if a < b {
                check_part_of_windows(w, &(a..b));
            }
        }
    }
}

#[test]
fn pool_windows_match_their_definition() {
    let mut cases = 0;
    for in_len in 1..=7 {
        for (kernel, stride, dilation) in product3(1..=4, 1..=4, 1..=3) {
            for (before, after, ceil_mode) in product3(0..=2, 0..=2, 0..=1) {
                let pad = Pad { before, after };
                let (room, ceil_mode) =
                    ((in_len + before + after).checked_sub((kernel - 1) * dilation + 1), ceil_mode == 1);
                let found = Windows::pool(in_len, kernel, stride, dilation, pad, ceil_mode, AXIS);
                let Some(room) = room else {
                    assert!(found.is_err());
                    continue;
                };
                // Floor: windows that fit. Ceil: also a partial one, if it starts before the padding after the input.
                let fits = |o: usize| o * stride <= room;
                let partial = |o: usize| ceil_mode && (o - 1) * stride < room && o * stride < in_len + before;
                let expected = (0..).take_while(|&o| fits(o) || partial(o)).count();
                let w = found.unwrap();
                assert_eq!(w.out_len, expected, "{w:?} {ceil_mode}");
                check_windows(&w);
                cases += 1;
            }
        }
    }
    assert!(cases > 3000);
}

fn product3(
    a: std::ops::RangeInclusive<usize>,
    b: std::ops::RangeInclusive<usize>,
    c: std::ops::RangeInclusive<usize>,
) -> impl Iterator<Item = (usize, usize, usize)> {
    a.flat_map(move |a| {
        let c = c.clone();
        b.clone().flat_map(move |b| c.clone().map(move |c| (a, b, c)))
    })
}

#[test]
fn same_padding_gives_the_ceiling_of_len_over_stride() {
    for in_len in 1..=9usize {
        for (kernel, stride, dilation) in product3(1..=5, 1..=4, 1..=3) {
            for padding in [Padding::Same, Padding::SameLower] {
                let w = Windows::conv(in_len, kernel, stride, dilation, padding, AXIS).unwrap();
                assert_eq!(w.out_len, in_len.div_ceil(stride), "{w:?}");
                let (Pad { before, after }, total) = (w.pad, w.pad.before + w.pad.after);
                let needed = ((w.out_len - 1) * stride + (kernel - 1) * dilation + 1).saturating_sub(in_len);
                assert_eq!(total, needed, "{w:?}");
                let odd = total % 2;
                let expected =
                    if padding == Padding::Same { (total / 2, total / 2 + odd) } else { (total / 2 + odd, total / 2) };
                assert_eq!((before, after), expected);
                check_windows(&w);
            }
        }
    }
}

#[test]
fn windows_of_padding_only_are_refused() {
    for in_len in 1..=5 {
        for (kernel, stride, dilation) in product3(1..=4, 1..=3, 1..=4) {
            for (before, after, ceil) in product3(0..=3, 0..=3, 0..=1) {
                let pad = Pad { before, after };
                let Ok(w) = Windows::pool(in_len, kernel, stride, dilation, pad, ceil == 1, AXIS) else { continue };
                let half = span(kernel, dilation, AXIS).unwrap() / 2;
                let empty = (0..w.out_len).any(|o| window(&w, o).is_empty());
                let expected = before.max(after) > half || empty;
                assert_eq!(w.require_input_in_every_window(AXIS).is_err(), expected, "{w:?}");
            }
        }
    }
}

#[test]
fn transposed_len_is_where_the_last_stamp_ends() {
    for in_len in 0..=5usize {
        for (kernel, stride, dilation) in product3(0..=4, 0..=4, 0..=3) {
            for (before, after, extra) in product3(0..=3, 0..=3, 0..=4) {
                let found = transposed_len(in_len, kernel, stride, dilation, Pad { before, after }, extra, AXIS);
                let valid = [in_len, kernel, stride, dilation].iter().all(|&n| n > 0) && extra < stride.max(dilation);
                let expected = valid
                    .then(|| ((in_len - 1) * stride + (kernel - 1) * dilation + 1 + extra).checked_sub(before + after))
                    .flatten()
                    .filter(|&n| n > 0);
                assert_eq!(found.ok(), expected, "{in_len} {kernel} {stride} {dilation} {before} {after} {extra}");
            }
        }
    }
}

// -------------------------------------------------------------------------------------------------------------- links

/// `(tap, output, input)` of everything joined, as the runs say.
fn joined(links: &Links) -> Vec<(usize, usize, usize)> {
    let mut all: Vec<_> = links
        .runs
        .iter()
        .enumerate()
        .flat_map(|(k, r)| (0..r.len).map(move |j| (k, r.out + j * links.out_step, r.in_ + j * links.in_step)))
        .collect();
    all.sort_unstable();
    all
}

fn check_links(links: &Links, expected: &[(usize, usize, usize)]) {
    assert_eq!(joined(links), expected, "{links:?}");
    check_phases(links, expected);
    let taps = links.runs.len();
    for (k, o) in (0..=taps).flat_map(|k| (0..links.out_len + 2).map(move |o| (k, o))) {
        let input = expected.iter().find(|e| (e.0, e.1) == (k, o)).map(|e| e.2);
        assert_eq!(links.input_of(k, o), input, "{links:?} tap {k} output {o}");
    }
    for a in 0..=links.out_len {
        for b in a..=links.out_len {
            let within = |e: &&(usize, usize, usize)| (a..b).contains(&e.1);
            for k in 0..taps {
                let r = links.clip(k, &(a..b));
                let found: Vec<_> =
                    (0..r.len).map(|j| (k, r.out + j * links.out_step, r.in_ + j * links.in_step)).collect();
                let of_tap: Vec<_> = expected.iter().filter(within).filter(|e| e.0 == k).copied().collect();
                assert_eq!(found, of_tap, "{links:?} clip {k} {a}..{b}");
            }
            let read = hull(expected.iter().filter(within).map(|e| e.2));
            assert_eq!(links.inputs(&(a..b)), read, "{links:?} inputs {a}..{b}");
            if a < b {
                check_part_of_links(links, &(a..b), expected);
            }
        }
    }
    let swapped = links.swapped();
    let mut turned: Vec<_> = expected.iter().map(|&(k, o, i)| (k, i, o)).collect();
    turned.sort_unstable();
    assert_eq!(joined(&swapped), turned);
    assert_eq!(swapped.swapped(), *links);
}

/// The links of some outputs are those of the whole, and so are the taps of each phase, of which some may be of zeros.
fn check_part_of_links(links: &Links, outs: &Range<usize>, expected: &[(usize, usize, usize)]) {
    let read = links.inputs(outs);
    let held = if read.is_empty() { 0..1 } else { read };
    let part = links.part(outs, &held).unwrap();
    let within = expected.iter().filter(|e| outs.contains(&e.1));
    let pairs: Vec<_> = within.map(|&(k, o, i)| (k, o - outs.start, i - held.start)).collect();
    assert_eq!(joined(&part), pairs, "{links:?} {outs:?}");
    check_phases(&part, &pairs);
    let step = links.out_step;
    let mut whole = Vec::new();
    for member in links.phases().unwrap().iter().flat_map(|p| &p.members) {
        let residue = (member.residue + step * outs.start - outs.start) % step;
        if residue < outs.len() {
            whole.push((residue, member.taps.clone()));
        }
    }
    let phases = part.phases().unwrap();
    let mut some: Vec<_> = phases.iter().flat_map(|p| &p.members).map(|m| (m.residue, m.taps.clone())).collect();
    whole.sort_unstable();
    some.sort_unstable();
    assert_eq!(some, whole, "{links:?} {outs:?}");
    // A part of it is a part of the whole.
    let inner = outs.len() / 3..outs.len();
    let read = part.inputs(&inner);
    let within = if read.is_empty() { 0..1 } else { read };
    let of_whole = |r: &Range<usize>, start: usize| r.start + start..r.end + start;
    let direct = links.part(&of_whole(&inner, outs.start), &of_whole(&within, held.start)).unwrap();
    assert_eq!(part.part(&inner, &within).unwrap(), direct, "{links:?} {outs:?} {inner:?}");
    // Counted from some outputs before: the same pairs, and taps where they are counted from there.
    for lead in 0..2 * step {
        let led = part.led(lead).unwrap();
        let moved: Vec<_> = pairs.iter().map(|&(k, o, i)| (k, o + lead, i)).collect();
        assert_eq!((joined(&led), led.out_len), (moved, part.out_len + lead));
        let taps = |links: &Links, lead: usize| {
            let mut all = Vec::new();
            for class in links.phases().unwrap().iter() {
                for (m, &shift) in class.members.iter().flat_map(|m| class.shifts.iter().map(move |s| (m, s))) {
                    // As if for the output of this residue among the first of the part.
                    let o = (m.residue + step - lead % step) % step;
                    let ahead = (o + lead) / step * links.in_step;
                    all.push((o, shift + ahead as i64));
                }
            }
            all.sort_unstable();
            all
        };
        assert_eq!(taps(&led, lead), taps(&part, 0), "{links:?} {outs:?} {lead}");
    }
}

/// Phases join what the taps join, and nothing else that lies within both axes; classes differ in what they read.
fn check_phases(links: &Links, expected: &[(usize, usize, usize)]) {
    let phases = links.phases().unwrap();
    let mut found = Vec::new();
    for class in phases.iter() {
        assert!(class.shifts.is_sorted_by(|a, b| a < b), "{links:?}");
        for member in &class.members {
            for o in (member.residue..links.out_len).step_by(links.out_step) {
                for (&shift, &tap) in class.shifts.iter().zip(&member.taps) {
                    let input = (o / links.out_step * links.in_step) as i64 + shift;
                    if (0..links.in_len as i64).contains(&input) {
                        found.push((tap, o, input as usize));
                    }
                }
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, expected, "{links:?}");
    for (i, class) in phases.iter().enumerate() {
        assert!(phases[..i].iter().all(|c| c.shifts != class.shifts), "{links:?}");
    }
    assert!(phases.iter().map(|c| c.members.len()).sum::<usize>() <= links.phase_count());
    for pairs in [false, true] {
        check_pairs(links, &phases, pairs);
    }
}

/// What each output is of inputs and taps, as a table of coefficients in quarters: by the definition, and by Winograd's sums.
fn check_pairs(links: &Links, phases: &[Phases], pairs: bool) {
    let axis = Axis::new(phases, links.in_step, pairs).unwrap();
    assert_eq!(axis.classes.len(), phases.len());
    assert!(pairs || axis.unit == 1);
    let step = links.in_step as i64;
    for (class, made) in phases.iter().zip(&axis.classes) {
        assert_eq!(made.points.len(), made.shape.points());
        for (m, member) in class.members.iter().enumerate() {
            assert_eq!(made.residues[m], member.residue);
            // The products of each sum: (input, tap) to coefficient.
            let products: Vec<BTreeMap<(i64, usize), i64>> = made
                .points
                .iter()
                .map(|terms| {
                    let mut sum = BTreeMap::new();
                    for term in terms {
                        let source = axis.sources[term.source];
                        let second = source.second.map(|(shift, minus)| (shift, if minus { -1 } else { 1 }));
                        for (input, sign) in std::iter::once((source.shift, 1)).chain(second) {
                            for &(tap, halves) in &axis.factors[term.factors[m]] {
                                *sum.entry((input, tap)).or_insert(0) += sign * i64::from(halves);
                            }
                        }
                    }
                    sum
                })
                .collect();
            let plus = |parts: &[(usize, i64)]| {
                let mut all = BTreeMap::new();
                for (point, sign) in parts {
                    products[*point].iter().for_each(|(k, v)| *all.entry(*k).or_insert(0) += sign * v);
                }
                all.retain(|_, v| *v != 0);
                all
            };
            let outputs = match made.shape {
                Shape::One => vec![plus(&[(0, 1)])],
                Shape::Two => vec![plus(&[(0, 1)]), plus(&[(1, 1)])],
                Shape::Three => vec![plus(&[(0, 1), (1, 1)]), plus(&[(1, 1), (2, -1)])],
                Shape::Four => vec![plus(&[(0, 1), (1, 1), (2, 1)]), plus(&[(1, 1), (2, -1), (3, -1)])],
            };
            assert!(outputs.len() <= axis.unit);
            for (y, found) in outputs.iter().enumerate() {
                let each = class.shifts.iter().zip(&member.taps);
                let wanted: BTreeMap<_, _> = each.map(|(s, t)| ((s + y as i64 * step, *t), 2)).collect();
                assert_eq!(*found, wanted, "{links:?} {axis:?}");
            }
            // Nothing outside its window goes into an output, not even what would come out again.
            let seen = |point: usize| {
                made.points[point].iter().flat_map(|t| {
                    let source = axis.sources[t.source];
                    [Some(source.shift), source.second.map(|s| s.0)].into_iter().flatten()
                })
            };
            let sums: &[&[usize]] = match made.shape {
                Shape::One => &[&[0]],
                Shape::Two => &[&[0], &[1]],
                Shape::Three => &[&[0, 1], &[1, 2]],
                Shape::Four => &[&[0, 1, 2], &[1, 2, 3]],
            };
            for (y, points) in sums.iter().enumerate() {
                let window: Vec<_> = class.shifts.iter().map(|s| s + y as i64 * step).collect();
                assert!(
                    points.iter().flat_map(|p| seen(*p)).all(|input| window.contains(&input)),
                    "{links:?} {axis:?}"
                );
            }
            // A sum that begins with something else begins every output with it, once.
            let begun = |parts: &[usize]| parts.iter().filter(|p| made.shape.begins(**p)).count();
            assert!(sums.iter().all(|p| begun(p) == 1));
        }
    }
    let read: Vec<i64> = axis.sources.iter().flat_map(|s| [Some(s.shift), s.second.map(|s| s.0)]).flatten().collect();
    assert!(axis.shifts().is_sorted_by(|a, b| a < b) && read.iter().all(|s| axis.shifts().contains(s)));
    let each = |c: &Class| c.points.len() * c.residues.len();
    assert_eq!(axis.sums(), axis.classes.iter().map(each).sum::<usize>());
    assert_eq!(axis.products(), axis.factors.len());
}

/// Products of two outputs of every phase, by pairs and by definition.
fn products_of(links: &Links) -> (usize, usize) {
    let phases = links.phases().unwrap();
    let axis = Axis::new(&phases, links.in_step, true).unwrap();
    let taps = phases.iter().map(|p| p.members.len() * p.shifts.len()).sum::<usize>();
    (axis.products() * 2 / axis.unit, 2 * taps)
}

#[test]
fn pairs_save_products() {
    let conv = |kernel, stride, dilation| {
        let pad = Padding::Explicit(Pad::both(1));
        products_of(&Links::conv(&Windows::conv(40, kernel, stride, dilation, pad, AXIS).unwrap()).unwrap())
    };
    assert_eq!([conv(1, 1, 1), conv(2, 1, 1), conv(3, 1, 1), conv(4, 1, 1)], [(2, 2), (3, 4), (4, 6), (8, 8)]);
    assert_eq!([conv(3, 2, 1), conv(4, 2, 1), conv(5, 2, 1), conv(7, 2, 1)], [(5, 6), (6, 8), (7, 10), (14, 14)]);
    // Neighbours that are not: every other input of a stride of one.
    assert_eq!([conv(3, 1, 2), conv(3, 2, 2), conv(3, 2, 3)], [(6, 6), (4, 6), (6, 6)]);
    let transposed = |kernel, stride| {
        let len = transposed_len(40, kernel, stride, 1, Pad::both(1), 0, AXIS).unwrap();
        products_of(&Links::transposed(40, len, kernel, stride, 1, Pad::both(1)).unwrap())
    };
    assert_eq!([transposed(2, 2), transposed(3, 2), transposed(4, 2)], [(4, 4), (5, 6), (6, 8)]);
    assert_eq!([transposed(6, 2), transposed(9, 3), transposed(16, 8)], [(8, 12), (12, 18), (24, 32)]);
}

#[test]
fn links_join_what_the_definition_joins() {
    for in_len in 1..=5 {
        for (kernel, stride, dilation) in product3(1..=3, 1..=4, 1..=3) {
            for (before, after, extra) in product3(0..=3, 0..=2, 0..=1) {
                let pad = Pad { before, after };
                if let Ok(w) = Windows::conv(in_len, kernel, stride, dilation, Padding::Explicit(pad), AXIS) {
                    let pairs = (0..w.out_len).flat_map(|o| window(&w, o).into_iter().map(move |(i, k)| (k, o, i)));
                    let mut pairs: Vec<_> = pairs.collect();
                    pairs.sort_unstable();
                    check_links(&Links::conv(&w).unwrap(), &pairs);
                }
                if let Ok(out_len) = transposed_len(in_len, kernel, stride, dilation, pad, extra, AXIS) {
                    let mut pairs: Vec<_> = (0..in_len)
                        .flat_map(|i| (0..kernel).map(move |k| (k, i * stride + k * dilation, i)))
                        .filter(|&(_, o, _)| (before..before + out_len).contains(&o))
                        .map(|(k, o, i)| (k, o - before, i))
                        .collect();
                    pairs.sort_unstable();
                    let links = Links::transposed(in_len, out_len, kernel, stride, dilation, pad).unwrap();
                    check_links(&links, &pairs);
                }
            }
        }
    }
}

// -------------------------------------------------------------------------------------------------------- coordinates

/// Exact position as a fraction, for the rules that have one.
fn fraction(map: &AxisMap, o: usize) -> (i128, i128) {
    let (i, n, o) = (map.in_len as i128, map.out_len as i128, o as i128);
    match map.rule {
        Rule::HalfPixel => ((2 * o + 1) * i - n, 2 * n),
        Rule::AlignCorners if n == 1 => (0, 1),
        Rule::AlignCorners => (o * (i - 1), n - 1),
        Rule::Asymmetric => (o * i, n),
        _ => unreachable!("no exact fraction"),
    }
}

fn clamped(map: &AxisMap, rule: Rule, o: usize, rounding: NearestRounding) -> usize {
    let index = AxisMap { rule, ..*map }.index(o, rounding);
    usize::try_from(index).unwrap_or(0).min(map.in_len - 1)
}

/// By the left edge: `floor(o*in/out)`.
fn nearest(map: &AxisMap, o: usize) -> usize {
    let rule = match map.rule {
        Rule::Factor(f) => Rule::AsymmetricFactor(f),
        _ => Rule::Asymmetric,
    };
    clamped(map, rule, o, NearestRounding::Floor)
}

/// By the centre: `floor((o + 0.5)*in/out)`.
fn nearest_exact(map: &AxisMap, o: usize) -> usize {
    let rule = match map.rule {
        Rule::Factor(f) => Rule::Factor(f),
        _ => Rule::HalfPixel,
    };
    clamped(map, rule, o, NearestRounding::RoundPreferCeil)
}

fn check_position(map: &AxisMap, o: usize) {
    let p = map.position(o);
    assert!((0.0..1.0).contains(&p.frac), "{map:?} at {o}: {p:?}");
    if let Rule::Factor(f) = map.rule {
        let x = (o as f64 + 0.5) / f - 0.5;
        assert!((p.floor as f64 + p.frac - x).abs() <= (1.0 + x.abs()) * 1e-15, "{map:?} at {o}");
        return;
    }
    let (num, den) = fraction(map, o);
    assert_eq!(i128::from(p.floor), num.div_euclid(den), "{map:?} at {o}");
    assert_eq!(p.frac, num.rem_euclid(den) as f64 / den as f64, "{map:?} at {o}");
    if map.rule == Rule::HalfPixel {
        let edge = |half_steps: u128| (half_steps * map.in_len as u128 / (2 * map.out_len as u128)) as usize;
        assert_eq!(nearest(map, o), edge(2 * o as u128), "{map:?} nearest {o}");
        assert_eq!(nearest_exact(map, o), edge(2 * o as u128 + 1), "{map:?} nearest_exact {o}");
    }
}

#[test]
fn positions_are_exact_fractions() {
    for (in_len, out_len, _) in product3(1..=40, 1..=40, 0..=0) {
        for rule in [Rule::HalfPixel, Rule::AlignCorners] {
            let map = AxisMap { in_len, out_len, rule };
            (0..out_len).for_each(|o| check_position(&map, o));
        }
    }
}

#[test]
fn nearest_of_a_whole_factor_repeats_each_element() {
    for (in_len, factor, _) in product3(1..=9, 1..=9, 0..=0) {
        for rule in [Rule::HalfPixel, Rule::Factor(factor as f64)] {
            let map = AxisMap { in_len, out_len: in_len * factor, rule };
            for o in 0..map.out_len {
                assert_eq!((nearest(&map, o), nearest_exact(&map, o)), (o / factor, o / factor), "{map:?} {o}");
            }
        }
    }
}

#[test]
fn scaled_lengths() {
    for (len, factor, expected) in
        [(5, 2.0, Some(10)), (5, 0.5, Some(2)), (3, 1.9, Some(5)), (1, 0.5, None), (usize::MAX >> 1, 2.0, None)]
    {
        assert_eq!(scaled_len(len, factor, AXIS).ok(), expected, "{len} {factor}");
    }
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE] {
        assert!(scaled_len(7, factor, AXIS).is_err(), "{factor}");
    }
}

// ------------------------------------------------------------------------------------------------------------ readers

/// The windows each block scan or block sum puts together for an element.
fn put_together(blocks: &Blocks, i: usize) -> Vec<usize> {
    let back_to = |last: usize, stop: &[bool]| {
        let mut run = vec![last];
        while !stop[run[run.len() - 1]] {
            run.push(run[run.len() - 1] - blocks.step);
        }
        run.reverse();
        run
    };
    let on_to = |first: usize| {
        let mut run = vec![first];
        while !blocks.ends[run[run.len() - 1]] {
            run.push(run[run.len() - 1] + blocks.step);
        }
        run
    };
    match blocks.parts[i] {
        Part::Empty => vec![],
        Part::UpTo(last) => back_to(last, &blocks.begins),
        Part::From(first) => on_to(first),
        Part::Both(first, last) => [on_to(first), back_to(last, &blocks.begins)].concat(),
        Part::Within(r) => positions(r),
    }
}

fn check_readers(bins: &Bins) {
    let readers = Readers::new(bins).unwrap();
    assert_eq!((readers.len(), readers.windows()), (bins.in_len(), bins.out_len()), "{bins:?}");
    let expected: Vec<Vec<usize>> = (0..bins.in_len())
        .map(|i| (0..bins.out_len()).filter(|&o| positions(bins.at(o)).contains(&i)).collect())
        .collect();
    let blocks = Blocks::new(&readers).unwrap();
    for (i, expected) in expected.iter().enumerate() {
        let (r, h) = (readers.at(i), readers.hull(i));
        assert_eq!(positions(r), *expected, "{bins:?} at {i}");
        assert!(h.step == 1 && covers(&(h.start..h.end()), &hull(positions(r))), "{bins:?} hull {i}");
        assert!(readers.have_gaps() || h == r, "{bins:?} at {i}");
        assert_eq!(put_together(&blocks, i), *expected, "{bins:?} blocks {i}");
        if i > 0 {
            let before = readers.hull(i - 1);
            assert!(before.start <= h.start && before.end() <= h.end(), "{bins:?} hull {i}");
        }
    }
    for a in 0..bins.in_len() {
        for b in a + 1..=bins.in_len() {
            let (read, claimed) = (hull(expected[a..b].iter().flatten().copied()), readers.of(a..b));
            assert!(covers(&claimed, &read) && !claimed.is_empty(), "{bins:?} of {a}..{b}: {claimed:?} {read:?}");
            assert!(claimed.end <= bins.out_len(), "{bins:?} of {a}..{b}: {claimed:?}");
        }
    }
    if let Some(sliding) = readers.sliding(bins) {
        assert_eq!((sliding.in_len(), sliding.out_len()), (readers.windows(), readers.len()), "{bins:?}");
        (0..readers.len())
            .for_each(|i| assert_eq!(positions(sliding.at(i)), positions(readers.at(i)), "{bins:?} at {i}"));
    }
    if let Some(block) = readers.scanned_by() {
        for i in 0..readers.len() {
            let r = readers.at(i);
            let (of, n) = (r.start / block, readers.windows());
            let across = r.end() >= ((of + 1) * block).min(n) && r.end() <= (of + 2) * block;
            assert!(r.count > 0 && (r.start.is_multiple_of(block) || across), "{bins:?} block {block} at {i}");
        }
    }
}

#[test]
fn readers_are_the_windows_seen_from_the_input() {
    for (in_len, kernel, stride) in product3(1..=14, 1..=7, 1..=5) {
        for (dilation, pad) in [(1, 0), (1, kernel / 2), (2, 0), (3, 1), (4, kernel), (6, 0)] {
            for ceil_mode in [false, true] {
                let pad = Pad { before: pad, after: pad / 2 };
                if let Ok(w) = Windows::pool(in_len, kernel, stride, dilation, pad, ceil_mode, AXIS)
                    && w.require_input_in_every_window(AXIS).is_ok()
                {
                    check_readers(&Bins::Sliding(w));
                }
            }
        }
    }
    for (in_len, out_len, _) in product3(1..=20, 1..=20, 0..=0) {
        check_readers(&Bins::adaptive(in_len, out_len, AXIS).unwrap());
    }
}

#[test]
fn a_few_windows_may_lie_within_a_block() {
    let windows = [(0, 1), (0, 1), (0, 1), (0, 1), (1, 1), (2, 1), (2, 1), (3, 1)];
    let windows = windows.map(|(start, count)| Reach { start, count, step: 1 }).to_vec();
    let bins = Bins::Listed { in_len: 4, windows };
    check_readers(&bins);
    let blocks = Blocks::new(&Readers::new(&bins).unwrap()).unwrap();
    let within = Part::Within(Reach { start: 5, count: 2, step: 1 });
    assert_eq!(blocks.parts, [Part::UpTo(3), Part::UpTo(4), within, Part::From(7)]);
}

#[test]
fn long_runs_of_readers_are_scanned() {
    let scanned = |kernel: usize, stride: usize| {
        let w = Windows::pool(200, kernel, stride, 1, Pad::default(), false, AXIS).unwrap();
        Readers::new(&Bins::Sliding(w)).unwrap().scanned_by()
    };
    assert_eq!((scanned(31, 1), scanned(40, 2), scanned(35, 3)), (Some(31), Some(20), Some(12)));
    assert_eq!(scanned(7, 31), None); // some elements have no readers
}

// --------------------------------------------------------------------------------------------------------------- taps

fn dense(taps: &Taps, in_len: usize) -> Vec<Vec<f64>> {
    (0..taps.out_len())
        .map(|o| {
            let mut row = vec![0.0; in_len];
            let r = taps.at(o);
            assert_eq!(r.count, taps.weights(o).len());
            row[r.start..r.start + r.count].copy_from_slice(taps.weights(o));
            row
        })
        .collect()
}

/// Weights by the definition: a triangle about the position, clamped (plain) or renormalised (widened).
fn triangle(map: &AxisMap, o: usize, antialias: bool) -> Vec<f64> {
    let p = map.position(o);
    let x = p.floor as f64 + p.frac;
    let mut row = vec![0.0; map.in_len];
    let scale = map.ratio();
    if antialias && scale > 1.0 {
        row.iter_mut().enumerate().for_each(|(i, w)| *w = (1.0 - (i as f64 - x).abs() / scale).max(0.0));
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|w| *w /= sum);
        return row;
    }
    let x = x.clamp(0.0, (map.in_len - 1) as f64);
    row[x as usize] += 1.0 - x.fract();
    if x.fract() > 0.0 {
        row[x as usize + 1] += x.fract();
    }
    row
}

fn check_period(period: Option<Period>, out_len: usize, repeats: impl Fn(usize, usize, usize) -> bool) {
    let Some(Period { outs, ins, range }) = period else { return };
    assert!(range.end <= out_len && range.len() % outs == 0 && !range.is_empty(), "{range:?} of {out_len}");
    for o in range.start..range.end - outs {
        assert!(repeats(o, outs, ins), "{outs} {ins} {range:?} at {o}");
    }
}

fn check_taps(taps: &Taps, in_len: usize) {
    for o in 0..taps.out_len() {
        let w = taps.weights(o);
        assert!(w.first() != Some(&0.0) && w.last() != Some(&0.0), "zero weight at an end: {taps:?}");
        let from = taps.offset(o);
        assert_eq!(&taps.all_weights()[from..from + w.len()], w);
    }
    assert_eq!(taps.widest(), (0..taps.out_len()).map(|o| taps.at(o).count).max().unwrap_or(0));
    for a in 0..=taps.out_len() {
        for b in a..=taps.out_len() {
            assert_eq!(taps.inputs(a..b), hull((a..b).flat_map(|o| positions(taps.at(o)))), "{taps:?} {a}..{b}");
        }
    }
    let (rows, back) = (dense(taps, in_len), taps.transposed().unwrap());
    let columns = dense(&back, taps.out_len());
    assert_eq!(columns.len(), in_len);
    for (o, row) in rows.iter().enumerate() {
        for (i, w) in row.iter().enumerate() {
            assert_eq!(*w, columns[i][o], "{taps:?} transposed {o} {i}");
        }
    }
    for t in [taps, &back] {
        check_period(t.period(), t.out_len(), |o, outs, ins| {
            t.at(o + outs).start == t.at(o).start + ins && t.weights(o + outs) == t.weights(o)
        });
    }
}

fn linear(map: &AxisMap, antialias: bool) -> Arc<Taps> {
    let method = Method::Filtered { filter: Filter::Linear, antialias };
    let outside = Outside { exclude: antialias, ..Outside::default() };
    Sampler::new(*map, method, outside).unwrap().taps(false).unwrap()
}

fn check_linear(map: &AxisMap) {
    for antialias in [false, true] {
        let taps = linear(map, antialias);
        assert_eq!(taps.out_len(), map.out_len);
        check_taps(&taps, map.in_len);
        for (o, row) in dense(&taps, map.in_len).iter().enumerate() {
            let sum: f64 = row.iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{map:?} at {o}: {sum}");
            for (found, expected) in row.iter().zip(triangle(map, o, antialias)) {
                assert!((found - expected).abs() < 1e-12, "{map:?} {antialias} at {o}: {row:?}");
            }
        }
        assert_eq!(taps.is_identity(), dense(&taps, map.in_len) == identity(map.in_len), "{map:?}");
    }
}

fn identity(n: usize) -> Vec<Vec<f64>> {
    (0..n).map(|o| (0..n).map(|i| f64::from(u8::from(i == o))).collect()).collect()
}

#[test]
fn taps_are_triangles_about_the_position() {
    for (in_len, out_len, _) in product3(1..=9, 1..=14, 0..=0) {
        for rule in [Rule::HalfPixel, Rule::AlignCorners, Rule::Factor(out_len as f64 / in_len as f64 + 0.01)] {
            check_linear(&AxisMap { in_len, out_len, rule });
        }
    }
    for (in_len, out_len) in [(40, 80), (80, 40), (30, 45), (45, 30), (20, 80), (80, 20)] {
        let map = AxisMap { in_len, out_len, rule: Rule::HalfPixel };
        check_linear(&map);
        assert!(linear(&map, false).period().is_some(), "{map:?} repeats");
    }
}

fn check_picks(picks: &Picks, in_len: usize) {
    let n = picks.out_len();
    for a in 0..=n {
        for b in a..=n {
            assert_eq!(picks.inputs(a..b), hull((a..b).filter_map(|o| picks.at(o))), "{picks:?} {a}..{b}");
        }
    }
    check_period(picks.period(), n, |o, outs, ins| match (picks.at(o), picks.at(o + outs)) {
        (Some(a), Some(b)) => b == a + ins,
        (a, b) => a.is_none() && b.is_none(),
    });
    let taps = Taps::from_picks(picks).unwrap();
    for o in 0..n {
        assert_eq!(positions(taps.at(o)), picks.at(o).into_iter().collect::<Vec<_>>());
    }
    check_taps(&taps, in_len);
}

#[test]
fn picks_of_nearest_and_of_nails() {
    for (in_len, out_len, exact) in product3(1..=9, 1..=20, 0..=1) {
        let map = AxisMap { in_len, out_len, rule: Rule::HalfPixel };
        let source = |o| if exact == 1 { nearest_exact(&map, o) } else { nearest(&map, o) };
        let picks = Picks::new(in_len, out_len, map.period(), |o| Some(source(o))).unwrap();
        assert!((0..out_len).all(|o| picks.at(o) == Some(source(o))));
        check_picks(&picks, in_len);
    }
    for (len, factor, offset) in product3(1..=9, 1..=5, 0..=4) {
        let nail = |o: usize| (o % factor == offset).then_some(o / factor);
        check_picks(&Picks::new(len, len * factor, (factor, 1), nail).unwrap(), len);
        if offset < factor {
            let back = Picks::new(len * factor, len, (1, factor), |o| Some(o * factor + offset)).unwrap();
            check_picks(&back, len * factor);
        }
    }
    let nails = Picks::new(40, 80, (2, 1), |o| (o % 2 == 1).then_some(o / 2)).unwrap();
    assert_eq!(nails.period(), Some(Period { outs: 2, ins: 1, range: 0..80 }), "what reads nothing repeats too");
}

#[test]
fn every_sampler_makes_ordered_taps_within_its_axis() {
    let filters = [Filter::Linear, Filter::Cubic(-0.75), Filter::Lanczos(3), Filter::Gaussian, Filter::Box];
    let methods =
        filters.into_iter().flat_map(|filter| [false, true].map(|antialias| Method::Filtered { filter, antialias }));
    let methods: Vec<_> = methods.chain([Method::Area, Method::Bins]).collect();
    let rules =
        [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric, Coordinates::TfCropAndResize];
    for (in_len, out_len, at) in product3(1..=9, 1..=14, 0..=3) {
        let (rule, _) = rules[at].rule(in_len, out_len, None, (-0.3, 1.6));
        let map = AxisMap { in_len, out_len, rule };
        for edge in [Edge::Clamp, Edge::Reflect, Edge::Mirror, Edge::Wrap, Edge::Constant, Edge::Zero] {
            for (method, exclude) in methods.iter().flat_map(|m| [false, true].map(|e| (*m, e))) {
                let outside = Outside { edge, exclude, extrapolate: at == 3 };
                check_sampler(&Sampler::new(map, method, outside).unwrap());
            }
        }
    }
}

fn check_sampler(sampler: &Sampler) {
    let taps = sampler.taps(false).unwrap();
    let (before, after) = sampler.margins();
    let extended = sampler.map().in_len + before + after;
    assert_eq!(taps.out_len(), sampler.inside().len());
    let rows = dense(&taps, extended);
    for o in 1..taps.out_len() {
        let (last, next) = (taps.at(o - 1), taps.at(o));
        assert!(last.start <= next.start && (next.count == 0 || last.end() <= next.end()), "{sampler:?} {o}");
    }
    for row in &rows {
        let sum: f64 = row.iter().sum();
        assert!(sampler.edge() == Edge::Zero || (sum - 1.0).abs() < 1e-12, "{sampler:?}: {sum}");
    }
    let back = dense(&taps.transposed().unwrap(), taps.out_len());
    assert!((0..rows.len()).all(|o| (0..extended).all(|i| rows[o][i] == back[i][o])), "{sampler:?}");
}

// ------------------------------------------------------------------------------------------------ the ends of 64 bits

/// Any length, with the ends more often than not.
fn wild() -> impl Strategy<Value = usize> {
    let edges = [0, 1, 2, 3, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 53, (1 << 62) - 1, 1 << 62];
    let top = [(1 << 63) - 2, (1 << 63) - 1, 1 << 63, usize::MAX - 1, usize::MAX];
    prop_oneof![prop::sample::select(edges.to_vec()), prop::sample::select(top.to_vec()), 0usize..100, any::<usize>(),]
}

fn length() -> impl Strategy<Value = usize> {
    wild().prop_map(|n| (n & (usize::MAX >> 1)).max(1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_at_extremes(
        (in_len, kernel, stride, dilation) in (wild(), wild(), wild(), wild()),
        (before, after) in (wild(), wild()),
        ceil_mode: bool,
        at in any::<prop::sample::Index>(),
    ) {
        let pad = Pad { before, after };
        let in_len = in_len & (usize::MAX >> 1); // no array is longer
        let all = [
            Windows::pool(in_len, kernel, stride, dilation, pad, ceil_mode, AXIS),
            Windows::conv(in_len, kernel, stride, dilation, Padding::Same, AXIS),
            Windows::conv(in_len, kernel, stride, dilation, Padding::SameLower, AXIS),
            Windows::conv(in_len, kernel, stride, dilation, Padding::Explicit(pad), AXIS),
        ];
        for w in all.into_iter().flatten() {
            prop_assert!(w.out_len >= 1);
            let o = at.index(w.out_len);
            let (i, k, d, p) = (o as i128 * w.stride as i128, w.kernel as i128, w.dilation as i128, w.pad.before as i128);
            // By the definition, in 128 bits: taps k with 0 <= i + k*d - p < in_len.
            let lo = (p - i).max(0).div_euclid(d) + i128::from((p - i).max(0).rem_euclid(d) > 0);
            let hi = ((w.in_len as i128 - 1 + p - i).div_euclid(d) + 1).clamp(0, k);
            let count = (hi - lo).max(0);
            let r = w.at(o);
            prop_assert_eq!(r.count as i128, count, "{:?} at {}", w, o);
            if count > 0 {
                prop_assert_eq!(r.start as i128, i + lo * d - p);
                prop_assert_eq!(w.skipped(o) as i128, lo);
                prop_assert_eq!(w.interior().contains(&o), count == k);
                let ins = w.inputs(o..o + 1);
                prop_assert!(ins.start <= r.start && r.end() <= ins.end && ins.end <= w.in_len);
            }
            let all = w.inputs(0..w.out_len);
            prop_assert!(all.end <= w.in_len);
        }
    }

    #[test]
    fn transposed_len_at_extremes(
        (in_len, kernel, stride, dilation) in (wild(), wild(), wild(), wild()),
        (before, after, extra) in (wild(), wild(), wild()),
    ) {
        let in_len = in_len & (usize::MAX >> 1);
        if let Ok(n) = transposed_len(in_len, kernel, stride, dilation, Pad { before, after }, extra, AXIS) {
            let wide = |n: usize| n as i128; // what was accepted fits in 63 bits, and then so do the terms in 127
            let expected = (wide(in_len) - 1) * wide(stride) + (wide(kernel) - 1) * wide(dilation) + 1 + wide(extra)
                - wide(before) - wide(after);
            prop_assert_eq!(wide(n), expected);
        }
    }

    #[test]
    fn positions_at_extremes(in_len in length(), out_len in length(), at in any::<prop::sample::Index>(), factor in 1e-9..1e9) {
        let o = at.index(out_len);
        for rule in [Rule::HalfPixel, Rule::AlignCorners] {
            let map = AxisMap { in_len, out_len, rule };
            // Fractions whose terms pass 2^53 are rounded before they are divided, so 1.0 is possible there.
            let (p, (num, den)) = (map.position(o), fraction(&map, o));
            prop_assert_eq!(i128::from(p.floor), num.div_euclid(den));
            prop_assert!((0.0..=1.0).contains(&p.frac));
            prop_assert!(nearest(&map, o) < in_len && nearest_exact(&map, o) < in_len);
            prop_assert!(map.ratio() >= 0.0);
            let (outs, ins) = map.period();
            prop_assert!(outs <= out_len && ins <= in_len);
        }
        let map = AxisMap { in_len, out_len, rule: Rule::Factor(factor) };
        prop_assert!(nearest(&map, o) < in_len && nearest_exact(&map, o) < in_len);
        let _ = (map.position(o), map.period(), map.ratio());
        let _ = scaled_len(in_len, factor, AXIS);
    }

    #[test]
    fn readers_at_extremes(
        (in_len, kernel) in (1usize..40, 1usize..5),
        (stride, dilation) in (length(), length()),
        pad in length(),
    ) {
        let pad = Pad::both(pad);
        if let Ok(w) = Windows::pool(in_len, kernel, stride, dilation, pad, true, AXIS)
            && w.out_len < 100 && w.require_input_in_every_window(AXIS).is_ok()
        {
            let readers = Readers::new(&Bins::Sliding(w)).unwrap();
            for i in 0..in_len {
                let expected: Vec<_> = (0..w.out_len).filter(|&o| positions(w.at(o)).contains(&i)).collect();
                prop_assert_eq!(positions(readers.at(i)), expected);
            }
        }
    }

    #[test]
    fn links_at_extremes(
        (in_len, out_len) in (length(), length()),
        (kernel, stride, dilation) in (1usize..5, length(), length()),
        before in length(),
        at in any::<prop::sample::Index>(),
    ) {
        let pad = Pad { before, after: 0 };
        let links = Links::transposed(in_len, out_len, kernel, stride, dilation, pad).unwrap();
        for (k, r) in links.runs.iter().enumerate().filter(|(_, r)| r.len > 0) {
            let joins = |i: usize, o: usize| i as i128 * stride as i128 + k as i128 * dilation as i128 - before as i128 == o as i128;
            let (last_in, last_out) = (r.in_ + (r.len - 1), r.out + (r.len - 1) * stride);
            prop_assert!(joins(r.in_, r.out) && joins(last_in, last_out));
            prop_assert!(last_in < in_len && last_out < out_len);
            let j = at.index(r.len);
            prop_assert_eq!(links.input_of(k, r.out + j * stride), Some(r.in_ + j));
            let clipped = links.clip(k, &(r.out + j * stride..out_len));
            prop_assert_eq!(clipped.len, r.len - j);
        }
        prop_assert!(links.inputs(&(0..out_len)).end <= in_len);
        for (links, taps) in [(&links, kernel), (&links.swapped(), kernel)] {
            let phases = links.phases().unwrap();
            let members = || phases.iter().flat_map(|p| p.members.iter().map(move |m| (p, m)));
            prop_assert!(members().map(|(_, m)| m.taps.len()).sum::<usize>() <= taps);
            for (class, m) in members() {
                for (&shift, &tap) in class.shifts.iter().zip(&m.taps) {
                    let r = links.runs[tap];
                    prop_assert_eq!(r.out % links.out_step, m.residue);
                    let j = (r.out / links.out_step) as i128;
                    prop_assert_eq!(j * links.in_step as i128 + i128::from(shift), r.in_ as i128);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_resizes(in_len in 1usize..70, out_len in 1usize..70, part in 0.0f64..1.0, rule in 0usize..3) {
        // A factor whose `floor(in_len * factor)` is the output's length.
        let factor = (out_len as f64 + part) / in_len as f64;
        let rule = [Rule::HalfPixel, Rule::AlignCorners, Rule::Factor(factor)][rule];
        let map = AxisMap { in_len, out_len, rule };
        check_linear(&map);
        (0..out_len).for_each(|o| check_position(&map, o));
    }

    #[test]
    fn readers_of_any_windows(steps in proptest::collection::vec((0usize..3, 0usize..4), 1..14)) {
        // Starts and ends that never decrease, of windows that are not empty.
        let (mut start, mut end, mut windows) = (0, 0, Vec::new());
        for (ahead, longer) in steps {
            start += ahead;
            end = (end + longer).max(start + 1);
            windows.push(Reach { start, count: end - start, step: 1 });
        }
        check_readers(&Bins::Listed { in_len: end + 1, windows });
    }

    #[test]
    fn greatest_common_divisors(a in 0usize..10_000, b in 1usize..10_000) {
        let g = gcd(a, b);
        prop_assert!(a % g == 0 && b % g == 0);
        prop_assert_eq!(gcd(a / g, b / g), 1);
    }
}
