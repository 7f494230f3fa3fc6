//! Winograd's minimal filtering along one axis: two neighbouring outputs of a phase from fewer products.
//!
//! Two outputs `y0 = d0*g0 + d1*g1`, `y1 = d1*g0 + d2*g1` take four products, or three: `m0 = (d0 - d1)*g0`,
//! `m1 = d1*(g0 + g1)`, `m2 = (d1 - d2)*g1`; `y0 = m0 + m1`, `y1 = m1 - m2`. With three taps it is four products for
//! six. What is summed over channels are the products: inputs are combined before, weights once, outputs after. Several
//! axes nest, and phases of a strided axis, which read inputs of their own, are more terms of the same sums.
//!
//! S. Winograd, *Arithmetic complexity of computations* (1980); A. Lavin and S. Gray, *Fast algorithms for convolutional
//! neural networks* (2016), of which these are `F(2, 2)` and `F(2, 3)`. (Larger ones save more products and lose digits.)

use super::phase::Phases;
use super::taps::reserved;
use crate::error::Result;

/// Where a source finds its elements: at `shift`, and, if there is a second, that one added or subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// From `step*j` on.
    pub shift: i64,
    /// A second one's shift, and whether it is subtracted.
    pub second: Option<(i64, bool)>,
}

/// Weights of one product along an axis: kernel taps, each with its coefficient in halves.
pub type Factor = Vec<(usize, i8)>;

/// A term of a point: its source, and the factor of each member of the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Which of the axis' sources.
    pub source: usize,
    /// Which of the axis' factors, for each member.
    pub factors: Vec<usize>,
}

/// How the sums of a class become outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One sum, one output.
    One,
    /// Two sums, two outputs.
    Two,
    /// `y0 = m0 + m1`, `y1 = m1 - m2`.
    Three,
    /// `y0 = m0 + m1 + m2`, `y1 = m1 - m2 - m3`.
    Four,
}

impl Shape {
    /// Number of sums.
    #[must_use]
    pub fn points(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Whether what a sum begins with is added to every output just once, if those sums do so for which this holds.
    #[must_use]
    pub fn begins(self, point: usize) -> bool {
        match self {
            Self::One | Self::Two => true,
            Self::Three | Self::Four => point == 1,
        }
    }
}

/// Phases whose taps read the same inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// How its sums become outputs.
    pub shape: Shape,
    /// The terms of each sum.
    pub points: Vec<Vec<Term>>,
    /// The residues of its members.
    pub residues: Vec<usize>,
}

/// One axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Outputs of a phase that are found together.
    pub unit: usize,
    /// What is multiplied: inputs, or sums and differences of two.
    pub sources: Vec<Source>,
    /// By what.
    pub factors: Vec<Factor>,
    /// The phases.
    pub classes: Vec<Class>,
}

/// Most taps of a phase that read neighbours.
const MOST_TAPS: usize = 3;

/// The taps of a phase in groups, those that read one residue of the inputs together; `None` if some are no neighbours, or are
/// many. Groups are in the order of the first input they read. (Not of its residue: a part of an axis counts from elsewhere.)
#[allow(clippy::arithmetic_side_effects, reason = "a step of at least 1; places within a list")]
fn groups(phase: &Phases, step: i64) -> Option<Vec<Vec<usize>>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (t, shift) in phase.shifts.iter().enumerate() {
        let same = |g: &&mut Vec<usize>| {
            g.first().is_some_and(|&f| phase.shifts[f].rem_euclid(step) == shift.rem_euclid(step))
        };
        match groups.iter_mut().find(same) {
            None => groups.push(vec![t]),
            Some(group) => {
                let last = group.last().map_or(*shift, |&l| phase.shifts[l]);
                if group.len() == MOST_TAPS || shift.checked_sub(last) != Some(step) {
                    return None;
                }
                group.push(t);
            }
        }
    }
    Some(groups)
}

/// Inputs of a source, counted in steps from a group's first, with the sign of the second.
type Reads = (i64, Option<(i64, bool)>);

/// Point, what is read, and the group's taps with their coefficients in halves.
type Product = (usize, Reads, &'static [(usize, i8)]);

/// The products of a group of so many taps in a class of this shape.
fn products(shape: Shape, taps: usize) -> &'static [Product] {
    match (shape, taps) {
        // (No output may see an input that is not in its window: a part of the outputs has not got it.)
        (Shape::Two, _) => &[(0, (0, None), &[(0, 2)]), (1, (1, None), &[(0, 2)])],
        (Shape::Three, 1) => &[(0, (0, None), &[(0, 2)]), (2, (1, None), &[(0, -2)])],
        (Shape::Three, _) => &[
            (0, (0, Some((1, true))), &[(0, 2)]),
            (1, (1, None), &[(0, 2), (1, 2)]),
            (2, (1, Some((2, true))), &[(1, 2)]),
        ],
        (Shape::Four, 1) => &[(0, (0, None), &[(0, 2)]), (3, (1, None), &[(0, -2)])],
        (Shape::Four, 2) => &[
            (0, (0, Some((1, true))), &[(0, 2)]),
            (1, (1, None), &[(0, 2), (1, 2)]),
            (3, (1, Some((2, true))), &[(1, 2)]),
        ],
        (Shape::Four, _) => &[
            (0, (0, Some((2, true))), &[(0, 2)]),
            (1, (1, Some((2, false))), &[(0, 1), (2, 1), (1, 1)]),
            (2, (1, Some((2, true))), &[(0, -1), (2, -1), (1, 1)]),
            (3, (1, Some((3, true))), &[(2, 2)]),
        ],
        (Shape::One, _) => &[],
    }
}

impl Axis {
    /// The axis whose phases' inputs are `step` apart: outputs in pairs, if that saves products and `pairs` allows it.
    ///
    /// # Errors
    /// If a table cannot be allocated.
    pub fn new(phases: &[Phases], step: usize, pairs: bool) -> Result<Self> {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let grouped: Option<Vec<_>> = phases.iter().map(|p| groups(p, step)).collect();
        let longest = |groups: &[Vec<usize>]| groups.iter().map(Vec::len).max().unwrap_or(0);
        let grouped = grouped.filter(|g| pairs && g.iter().any(|g| longest(g) > 1));
        let mut axis = Self {
            unit: if grouped.is_some() { 2 } else { 1 },
            sources: Vec::new(),
            factors: Vec::new(),
            classes: reserved(phases.len())?,
        };
        for (c, phase) in phases.iter().enumerate() {
            let residues = phase.members.iter().map(|m| m.residue).collect();
            let class = match &grouped {
                None => Class { shape: Shape::One, points: vec![axis.each(phase)], residues },
                Some(grouped) => {
                    let shape = match longest(&grouped[c]) {
                        1 => Shape::Two,
                        2 => Shape::Three,
                        _ => Shape::Four,
                    };
                    Class { shape, points: axis.points(phase, shape, &grouped[c], step), residues }
                }
            };
            axis.classes.push(class);
        }
        Ok(axis)
    }

    /// Every tap a term of the one sum.
    fn each(&mut self, phase: &Phases) -> Vec<Term> {
        let term = |(t, &shift)| {
            let source = self.source(Source { shift, second: None });
            let factors = phase.members.iter().map(|m| self.factor(vec![(m.taps[t], 2)])).collect();
            Term { source, factors }
        };
        phase.shifts.iter().enumerate().map(term).collect()
    }

    /// The terms of each sum of a class.
    #[allow(clippy::arithmetic_side_effects, reason = "the first input of a source is a step or two from a tap's")]
    fn points(&mut self, phase: &Phases, shape: Shape, groups: &[Vec<usize>], step: i64) -> Vec<Vec<Term>> {
        let mut points = vec![Vec::new(); shape.points()];
        for group in groups {
            for &(point, (first, second), taps) in products(shape, group.len()) {
                let at = |steps: i64| phase.shifts[group[0]].saturating_add(steps.saturating_mul(step));
                let second = second.map(|(steps, minus)| (at(steps), minus));
                let source = self.source(Source { shift: at(first), second });
                let of = |m: &super::phase::Member| {
                    self.factor(taps.iter().map(|&(tap, halves)| (m.taps[group[tap]], halves)).collect())
                };
                let factors = phase.members.iter().map(of).collect();
                points[point].push(Term { source, factors });
            }
        }
        points
    }

    /// The place of a source, which may be there already.
    fn source(&mut self, source: Source) -> usize {
        let found = self.sources.iter().position(|s| *s == source);
        found.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len().saturating_sub(1)
        })
    }

    /// The place of a new factor.
    fn factor(&mut self, factor: Factor) -> usize {
        self.factors.push(factor);
        self.factors.len().saturating_sub(1)
    }

    /// All inputs that sources read, as shifts.
    #[must_use]
    pub fn shifts(&self) -> Vec<i64> {
        let mut shifts: Vec<i64> =
            self.sources.iter().flat_map(|s| std::iter::once(s.shift).chain(s.second.map(|s| s.0))).collect();
        shifts.sort_unstable();
        shifts.dedup();
        shifts
    }

    /// Sums of each position of `unit` outputs of every phase.
    #[must_use]
    pub fn sums(&self) -> usize {
        self.classes.iter().map(|c| c.points.len().saturating_mul(c.residues.len())).sum()
    }

    /// Products of each position.
    #[must_use]
    pub fn products(&self) -> usize {
        self.factors.len()
    }
}
