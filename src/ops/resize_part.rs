//! A part of a resize: some of its outputs, from the inputs they read, with all that is decided decided for the whole.
//!
//! A part has the taps of the whole, so its outputs are the whole's to the last bit, wherever arrays are cut.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result, Shape};
use crate::geometry::sampler::Edge;
use crate::geometry::taps::{Picks, Taps};
use crate::ops::resize::{Lane, ResizePlan};

/// Of an axis, what a part of its outputs takes.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Outputs of the part.
    outs: usize,
    /// Those that are computed, in the order of the inputs; the others are the constant.
    computed: Range<usize>,
    /// Which of the axis' taps they have.
    taps: Range<usize>,
    /// What those read of the axis with its margins.
    extended: Range<usize>,
    /// What that is of the input.
    held: Range<usize>,
    /// Whether it is more than the input's own.
    extends: bool,
    /// The taps of the whole axis, but of a move.
    whole: Option<Arc<Taps>>,
}

impl Stretch {
    /// What of a computed range is in a stretch whose taps all lie within the input.
    fn new(lane: &Lane, outs: &Range<usize>, transposed: bool) -> Result<Self> {
        let (n, inside) = (lane.sampler.map().out_len, lane.sampler.inside());
        if transposed {
            let taps = lane.sampler.taps(true)?;
            let held = some(taps.inputs(outs.clone()));
            return Ok(Self {
                outs: outs.len(),
                computed: 0..outs.len(),
                taps: outs.clone(),
                extended: held.clone(),
                held,
                extends: false,
                whole: Some(taps),
            });
        }
        let ordered = if lane.reversed { n - outs.end..n - outs.start } else { outs.clone() };
        let start = ordered.start.max(inside.start);
        let wanted = start..ordered.end.min(inside.end).max(start);
        if wanted.is_empty() {
            return Ok(Self {
                outs: outs.len(),
                computed: 0..0,
                taps: 0..0,
                extended: 0..0,
                held: 0..0,
                extends: false,
                whole: None,
            });
        }
        let taps = wanted.start - inside.start..wanted.end - inside.start;
        let whole = if lane.sampler.is_move() { None } else { Some(lane.sampler.taps(false)?) };
        let reads = match &whole {
            None => lane.sampler.picks()?.inputs(taps.clone()),
            Some(whole) => whole.inputs(taps.clone()),
        };
        let extended = some(reads);
        let held = held(lane, &extended);
        let computed = wanted.start - ordered.start..wanted.end - ordered.start;
        let before = lane.sampler.margins().0;
        let extends = extended.start < before || extended.end > before + lane.sampler.map().in_len;
        Ok(Self { outs: outs.len(), computed, taps, extended, held, extends, whole })
    }
}

/// A range that has an element, so that there is an array to read nothing of.
fn some(range: Range<usize>) -> Range<usize> {
    if range.is_empty() { 0..1 } else { range }
}

/// The inputs that lie in a range of an axis with its margins, or are repeated there.
fn held(lane: &Lane, extended: &Range<usize>) -> Range<usize> {
    let ((before, _), len) = (lane.sampler.margins(), lane.sampler.map().in_len);
    let mut held: Option<Range<usize>> = None;
    // Those that lie there, and one by one those that do not.
    let centre = extended.start.max(before)..extended.end.min(before + len);
    if !centre.is_empty() {
        held = Some(centre.start - before..centre.end - before);
    }
    for v in (extended.start..extended.end.min(before)).chain(extended.start.max(before + len)..extended.end) {
        if let Some(i) = lane.sampler.source(v as i64 - before as i64) {
            held = Some(held.map_or(i..i + 1, |h| h.start.min(i)..h.end.max(i + 1)));
        }
    }
    held.unwrap_or(0..1)
}

impl Lane {
    /// Elements of the input's axis.
    pub fn in_len(&self) -> usize {
        self.part.as_ref().map_or(self.sampler.map().in_len, |p| p.held.len())
    }

    /// Elements of the output's axis.
    pub fn out_len(&self) -> usize {
        self.part.as_ref().map_or(self.sampler.map().out_len, |p| p.outs)
    }

    /// The outputs that are computed, in the order of the inputs.
    pub fn computed(&self) -> Range<usize> {
        self.part.as_ref().map_or_else(|| self.sampler.inside(), |p| p.computed.clone())
    }

    /// What is read of the axis with its margins.
    fn extended(&self) -> Range<usize> {
        let (before, after) = self.sampler.margins();
        self.part.as_ref().map_or(0..before + self.sampler.map().in_len + after, |p| p.extended.clone())
    }

    /// Elements of that.
    pub fn extended_len(&self) -> usize {
        self.extended().len()
    }

    /// Elements of what a pass along the axis makes.
    pub fn made_len(&self, transposed: bool) -> usize {
        if transposed && self.part.is_none() { self.extended_len() } else { self.computed().len() }
    }

    /// Whether that is more than the input's own.
    pub fn extends(&self) -> bool {
        self.part.as_ref().map_or(self.sampler.margins() != (0, 0), |p| p.extends)
    }

    /// Where in it the input's own elements lie, if those are all there is to copy; else what each element is copied from.
    pub fn extension(&self) -> Result<std::result::Result<Range<usize>, Picks>> {
        let ((before, _), len, extended) = (self.sampler.margins(), self.sampler.map().in_len, self.extended());
        if self.sampler.edge() == Edge::Constant {
            let start = extended.start.max(before);
            let end = extended.end.min(before + len).max(start);
            return Ok(Ok(start - extended.start..end - extended.start));
        }
        let held = self.part.as_ref().map_or(0, |p| p.held.start);
        let from = |v: usize| self.sampler.source((v + extended.start) as i64 - before as i64)?.checked_sub(held);
        Ok(Err(Picks::new(self.in_len(), extended.len(), (1, 1), from)?))
    }

    /// The taps of the whole axis, of which some are wanted.
    pub fn whole_taps(&self, transposed: bool) -> Result<Arc<Taps>> {
        match self.part.as_ref().and_then(|p| p.whole.as_ref()) {
            Some(whole) => Ok(Arc::clone(whole)),
            None => self.sampler.taps(transposed),
        }
    }

    /// The taps of the outputs that are computed.
    pub fn taps(&self, transposed: bool) -> Result<Arc<Taps>> {
        match &self.part {
            Some(part) => Ok(Arc::new(self.whole_taps(transposed)?.part(&part.taps, &part.extended)?)),
            None => self.sampler.taps(transposed),
        }
    }

    /// The sources of the outputs that are computed.
    pub fn picks(&self) -> Result<Picks> {
        let picks = self.sampler.picks()?;
        match &self.part {
            Some(part) => picks.part(&part.taps, &part.extended),
            None => Ok(picks),
        }
    }
}

impl ResizePlan {
    /// The plan of some outputs alone, given as a range along every axis, and the range of inputs that it wants. Its
    /// results are the whole's, bit for bit.
    ///
    /// # Errors
    /// If a range is not within its axis, or a table cannot be allocated.
    pub fn part(&self, outs: &[Range<usize>]) -> Result<(Self, Vec<Range<usize>>)> {
        check_ranges(outs, &self.out_shape)?;
        self.taken(outs, false)
    }

    /// As [`ResizePlan::part`], for the backward: of some elements of its result, and of the gradients it wants. Nothing if
    /// an edge rule sends gradients elsewhere: then there is only the whole.
    ///
    /// # Errors
    /// As [`ResizePlan::part`].
    pub fn part_of_backward(&self, outs: &[Range<usize>]) -> Result<Option<(Self, Vec<Range<usize>>)>> {
        check_ranges(outs, &self.in_shape)?;
        if !self.is_plain() {
            return Ok(None);
        }
        let (plan, held) = self.taken(outs, true)?;
        // The forward's input is the backward's result.
        Ok(Some((Self { in_shape: plan.out_shape, out_shape: plan.in_shape, ..plan }, held)))
    }

    fn taken(&self, outs: &[Range<usize>], transposed: bool) -> Result<(Self, Vec<Range<usize>>)> {
        let mut held = outs.to_vec();
        let mut lanes = self.lanes.clone();
        for lane in &mut lanes {
            let stretch = Stretch::new(lane, &outs[lane.axis], transposed)?;
            held[lane.axis] = stretch.held.clone();
            lane.part = Some(stretch);
        }
        let lens = |ranges: &[Range<usize>]| ranges.iter().map(Range::len).collect();
        let plan = Self { lanes, rounding: self.rounding, in_shape: lens(&held), out_shape: lens(outs) };
        Ok((plan, held))
    }
}

/// Refuses ranges that are not one within each axis, of one element at least.
///
/// # Errors
/// Names the first.
pub(super) fn check_ranges(ranges: &[Range<usize>], shape: &[usize]) -> Result<()> {
    let within = |(r, &len): (&Range<usize>, &usize)| r.start < r.end && r.end <= len;
    if ranges.len() != shape.len() || !ranges.iter().zip(shape).all(within) {
        return Err(Error::value(format!("part = {ranges:?}: must be one range within each axis of {}", Shape(shape))));
    }
    Ok(())
}
