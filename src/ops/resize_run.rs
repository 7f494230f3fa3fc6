//! Runs a resize: at most three axes at a time, in an arrangement of the arrays that the pipeline knows.
//!
//! Axes that keep their length lie outside the resized ones or inside them, merged where strides allow it, and cost
//! nothing. More than three axes take several passes, through arrays of the computed type, so that integers are
//! rounded once all the same. What an edge rule wants from outside the input is put around a copy of it first.

use std::sync::Arc;

use ndarray::{ArrayD, Axis, IxDyn};

use crate::element::{Codec, Linear, Plain, Real};
use crate::error::{Error, Result};
use crate::geometry::taps::{Picks, Taps, reserved};
use crate::layout::{Axes, Grid, Rearranged, View, ViewMut, simplify};
use crate::ops::moves::Moves;
use crate::ops::resize::{Lane, ResizePlan};
use crate::ops::separable::{self, Tables};

/// Elements behind the one resized axis from which on they make better rows than groups.
const LONG_ROW: usize = 64;

/// Most axes of a pass.
const MOST_AXES: usize = 3;

/// Elements that can be copied.
pub trait Movable: Copy + Default + Send + Sync + 'static {}
impl<T: Copy + Default + Send + Sync + 'static> Movable for T {}

fn buffer<T: Movable>(shape: &[usize], value: T) -> Result<ArrayD<T>> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let refused = || Error::memory(format!("cannot allocate an intermediate array of shape {shape:?}"));
    let count = count.ok_or_else(refused)?;
    let mut elements = Vec::new();
    elements.try_reserve_exact(count).map_err(|_| refused())?;
    elements.resize(count, value);
    ArrayD::from_shape_vec(IxDyn(shape), elements).map_err(|_| refused())
}

/// Arranges two arrays for the pipeline: the given axes (at most three, rising, none of them perhaps) as the last of
/// D, H and W, the others outside or inside them. Returns how, and which of D, H and W the first is.
fn arrange<P: Copy, Q: Copy>(x: &mut Rearranged<'_, P>, out: &mut Rearranged<'_, Q>, axes: &[usize]) -> (Axes, usize) {
    let ndim = x.shape().len();
    // Without an axis to resize, the last one makes the rows.
    let last = *axes.last().unwrap_or(&(ndim - 1));
    let spatial: &[usize] = if axes.is_empty() { &[ndim - 1] } else { axes };
    // The axes behind the last resized one, from the end as many as lie together in both arrays.
    let mut within = ndim;
    while within > last + 1 && x.lie_together(within - 1) && out.lie_together(within - 1) {
        within -= 1;
    }
    let mut order: Vec<usize> = (0..within).filter(|a| !spatial.contains(a)).collect();
    order.extend(spatial);
    order.extend(within..ndim);
    x.permute(&order);
    out.permute(&order);
    let inner = within < ndim;
    if inner {
        x.merge(within);
        out.merge(within);
    }
    let long = inner && axes.len() == 1 && x.shape().last().is_some_and(|&n| n >= LONG_ROW);
    let rank = spatial.len() + usize::from(long);
    (Axes { ndim: x.shape().len(), rank, channels_last: inner && !long }, 3 - rank)
}

/// As [`arrange`], where the arrays are in that order already: nothing or one axis behind the resized ones.
fn in_order(shape: &[usize], axes: &[usize]) -> Option<(Axes, usize)> {
    let (ndim, rank) = (shape.len(), axes.len());
    let (first, last) = (*axes.first()?, *axes.last()?);
    let channels_last = last + 2 == ndim;
    if last - first + 1 != rank || !(channels_last || last + 1 == ndim) {
        return None;
    }
    let long = channels_last && rank == 1 && shape[ndim - 1] >= LONG_ROW;
    (!long).then_some((Axes { ndim, rank, channels_last }, 3 - rank))
}

/// One table for each of D, H and W: those made of the axes, and for the others as many entries as the arrays have.
fn tables<T>(
    axes: &Axes,
    shape: &[usize],
    slot: usize,
    made: Vec<T>,
    same: impl Fn(usize) -> Result<T>,
) -> Result<[T; 3]> {
    let lens = axes.spatial(shape);
    let mut made = made.into_iter();
    let mut one = |at: usize| match if at >= slot { made.next() } else { None } {
        Some(table) => Ok(table),
        None => same(lens[at]),
    };
    Ok([one(0)?, one(1)?, one(2)?])
}

// What follows knows no types of elements, and is compiled once: as closures in the functions below it was compiled for each.

/// [`tables`] of moves.
fn tables_of_picks(axes: &Axes, shape: &[usize], slot: usize, group: &[&Pick]) -> Result<[Picks; 3]> {
    tables(axes, shape, slot, group.iter().map(|p| p.1.clone()).collect(), keep)
}

/// The tables of some axes, and of the whole if that is not the same.
type Made = (Vec<Arc<Taps>>, Option<Vec<Arc<Taps>>>);

impl Tables {
    /// [`tables`] of sums: of what is wanted, and of the whole if that is not the same.
    fn new(axes: &Axes, shape: &[usize], slot: usize, (made, whole): Made) -> Result<Self> {
        let all = |made| tables(axes, shape, slot, made, |n| Taps::same(n).map(Arc::new));
        Ok(Self { taps: all(made)?, whole: whole.map(all).transpose()? })
    }
}

/// The taps of each axis, or those of the transposed map.
fn taps_of(lanes: &[&Lane], transposed: bool) -> Result<Vec<Arc<Taps>>> {
    let mut made = reserved(lanes.len())?;
    for lane in lanes {
        made.push(lane.taps(transposed)?);
    }
    Ok(made)
}

/// Those of the whole axes, if only a part is wanted of one: what is decided by all of them is decided by these.
fn whole_taps_of(lanes: &[&Lane], transposed: bool) -> Result<Option<Vec<Arc<Taps>>>> {
    if lanes.iter().all(|l| l.part.is_none()) {
        return Ok(None);
    }
    lanes.iter().map(|l| l.whole_taps(transposed)).collect::<Result<_>>().map(Some)
}

/// The axes' numbers.
fn along(lanes: &[&Lane]) -> Vec<usize> {
    lanes.iter().map(|l| l.axis).collect()
}

/// The sources along each axis.
fn picks_of(lanes: &[Lane]) -> Result<Vec<Pick>> {
    lanes.iter().map(|l| Ok((l.axis, l.picks()?))).collect()
}

/// The axes of a sum in groups of at most three, those that shrink most first.
fn groups_of_lanes(lanes: &[Lane]) -> Vec<Vec<&Lane>> {
    groups(lanes, |l| l.sampler.inside().len() as f64 / l.sampler.map().in_len as f64, |l| l.axis)
}

/// The axes of a move in groups of at most three, the shortest first.
fn groups_of_picks(picks: &[Pick]) -> Vec<Vec<&Pick>> {
    groups(picks, |p| p.1.out_len() as f64, |p| p.0)
}

fn keep(len: usize) -> Result<Picks> {
    Picks::new(len, len, (1, 1), Some)
}

/// A resize's axes in groups of at most three, those that shrink most first.
fn groups<L>(lanes: &[L], growth: impl Fn(&L) -> f64, axis: impl Fn(&L) -> usize) -> Vec<Vec<&L>> {
    let mut sorted: Vec<&L> = lanes.iter().collect();
    if lanes.len() > MOST_AXES {
        sorted.sort_by(|a, b| growth(a).total_cmp(&growth(b)));
    }
    let mut groups: Vec<Vec<&L>> = sorted.chunks(MOST_AXES).map(<[&L]>::to_vec).collect();
    groups.iter_mut().for_each(|g| g.sort_by_key(|l| axis(l)));
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    groups
}

/// An axis and the sources along it.
type Pick = (usize, Picks);

fn move_group<T: Movable>(group: &[&Pick], x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
    let along: Vec<usize> = group.iter().map(|p| p.0).collect();
    if let Some((axes, slot)) = in_order(x.shape, &along) {
        let picks = tables_of_picks(&axes, x.shape, slot, group)?;
        return Moves { picks }.run(&axes, x, out);
    }
    let (mut x, mut out) = (x.rearranged(), out.rearranged());
    let (axes, slot) = arrange(&mut x, &mut out, &along);
    let picks = tables_of_picks(&axes, x.shape(), slot, group)?;
    Moves { picks }.run(&axes, &x.view(), &mut out.view())
}

/// Copies along any axes.
fn move_along<T: Movable>(picks: &[Pick], x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
    let groups = groups_of_picks(picks);
    let (last, before) = groups.split_last().map_or((&[][..], &[][..]), |(l, b)| (&l[..], b));
    let mut held: Option<ArrayD<T>> = None;
    let mut shape = x.shape.to_vec();
    for group in before {
        group.iter().for_each(|p| shape[p.0] = p.1.out_len());
        let mut next = buffer(&shape, T::default())?;
        match &held {
            None => move_group(group, x, &mut ViewMut::from(&mut next.view_mut()))?,
            Some(a) => move_group(group, &View::from(&a.view()), &mut ViewMut::from(&mut next.view_mut()))?,
        }
        held = Some(next);
    }
    match &held {
        None => move_group(last, x, out),
        Some(a) => move_group(last, &View::from(&a.view()), out),
    }
}

fn fill_with<T: Movable>(out: &mut ViewMut<'_, T>, value: T) -> Result<()> {
    let one = buffer(&vec![1; out.shape.len()], value)?;
    match one.broadcast(IxDyn(out.shape)) {
        Some(all) => move_along(&[], &View::from(&all), out),
        None => Ok(()),
    }
}

/// Weighted sums along at most three axes: arranges the arrays, makes the tables and lets `run` have them.
fn mix<A, B>(
    lanes: &[&Lane],
    transposed: bool,
    x: &View<'_, A>,
    out: &mut ViewMut<'_, B>,
    run: impl FnOnce(Tables, Grid<*const A>, Grid<*mut B>) -> Result<()>,
) -> Result<()> {
    let (along, made) = (along(lanes), (taps_of(lanes, transposed)?, whole_taps_of(lanes, transposed)?));
    if let Some((axes, slot)) = in_order(x.shape, &along) {
        let taps = Tables::new(&axes, x.shape, slot, made)?;
        let (mut x, mut out) = (x.grid_of(&axes), out.grid_of(&axes));
        simplify(&mut x, &mut [&mut out]);
        return run(taps, x, out);
    }
    let (mut x, mut out) = (x.rearranged(), out.rearranged());
    let (axes, slot) = arrange(&mut x, &mut out, &along);
    let taps = Tables::new(&axes, x.shape(), slot, made)?;
    let (x, mut out) = (x.view(), out.view());
    let (mut x, mut out) = (x.grid_of(&axes), out.grid_of(&axes));
    simplify(&mut x, &mut [&mut out]);
    run(taps, x, out)
}

/// [`mix`] between two types of arrays.
fn mix_between<I, O>(
    lanes: &[&Lane],
    transposed: bool,
    x: &View<'_, I::Stored>,
    out: &mut ViewMut<'_, O::Stored>,
    (load, store): (I, O),
) -> Result<()>
where
    I: Codec<Computed: Real>,
    O: Codec<Computed = I::Computed>,
{
    mix(lanes, transposed, x, out, |taps, x, out| {
        separable::run_between(&taps, separable::PLAINLY, x, out, load, store)
    })
}

/// An array between two passes.
type Held<T> = ArrayD<<T as Linear>::Sum>;

impl ResizePlan {
    /// Copies elements: for [`ResizePlan::is_move`] only. What lies outside is `fill`.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn run_move<T: Movable>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>, fill: T) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let picks = picks_of(&self.lanes)?;
        if self.is_plain() {
            return move_along(&picks, x, out);
        }
        if self.fills() {
            fill_with(out, fill)?;
        }
        let Some(mut out) = self.computed(out) else { return Ok(()) };
        let extended = self.extended(x, fill)?;
        match &extended {
            None => move_along(&picks, x, &mut out.view()),
            Some(a) => move_along(&picks, &View::from(&a.view()), &mut out.view()),
        }
    }

    /// Resizes. What lies outside is `fill`.
    ///
    /// # Errors
    /// As [`ResizePlan::run_move`].
    pub fn forward<T: Linear>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>, fill: T) -> Result<()> {
        if self.is_move() {
            return self.run_move(&x.bits(), &mut out.bits(), fill.bits());
        }
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        if self.is_plain() {
            return self.chain(false, x, out);
        }
        if self.fills() {
            fill_with(&mut out.bits(), fill.bits())?;
        }
        let Some(mut out) = self.computed(out) else { return Ok(()) };
        match &self.extended(&x.bits(), fill.bits())? {
            None => self.chain(false, x, &mut out.view()),
            Some(a) => self.chain(false, &View::of_bits(&View::from(&a.view())), &mut out.view()),
        }
    }

    /// The transposed map: from the gradient of the result to the gradient of the input.
    ///
    /// # Errors
    /// As [`ResizePlan::run_move`].
    pub fn backward<T: Linear>(&self, grad: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.in_shape.contains(&0) {
            return Ok(());
        }
        if self.is_plain() {
            return self.chain(true, grad, out);
        }
        let mut grad = grad.rearranged();
        for l in &self.lanes {
            if l.reversed {
                grad.reverse(l.axis);
            }
            grad.part(l.axis, &l.sampler.inside());
        }
        if grad.shape().contains(&0) {
            return fill_with(&mut out.bits(), T::default().bits());
        }
        if self.lanes.iter().all(|l| l.sampler.margins() == (0, 0)) {
            return self.chain(true, &grad.view(), out);
        }
        let mut held: Held<T> = buffer(&self.extended_shape(), T::Sum::default())?;
        {
            let mut view = held.view_mut();
            let to = &mut ViewMut::from(&mut view);
            self.chain_between(true, &grad.view(), to, T::sum_codec(self.rounding), Plain::default())?;
        }
        for l in &self.lanes {
            fold_margins(&mut held, l);
        }
        let held = held.view();
        let held = View::from(&held);
        let mut centre = held.rearranged();
        for l in &self.lanes {
            let before = l.sampler.margins().0;
            centre.part(l.axis, &(before..before + l.sampler.map().in_len));
        }
        mix_between(&[], false, &centre.view(), out, (Plain::<T::Sum>::default(), T::sum_codec(self.rounding)))
    }

    /// Whether all outputs are computed, in the order of the inputs, and from nothing but them.
    pub(super) fn is_plain(&self) -> bool {
        self.lanes.iter().all(|l| !l.reversed && l.computed().len() == l.out_len() && !l.extends())
    }

    /// Whether parts of the result are not computed.
    fn fills(&self) -> bool {
        self.lanes.iter().any(|l| l.computed().len() < l.out_len())
    }

    /// The part of the result that is computed, in the order of the inputs.
    fn computed<'a, T: Movable>(&self, out: &'a mut ViewMut<'_, T>) -> Option<Rearranged<'a, *mut T>> {
        let mut part = out.rearranged();
        for l in &self.lanes {
            if l.reversed {
                part.reverse(l.axis);
            }
            part.part(l.axis, &l.computed());
        }
        (!part.shape().contains(&0)).then_some(part)
    }

    fn extended_shape(&self) -> Vec<usize> {
        let mut shape = self.in_shape.clone();
        for l in self.lanes.iter().filter(|l| l.extends()) {
            shape[l.axis] = l.extended_len();
        }
        shape
    }

    /// The input with what the edge rule wants around it, if that is anything.
    fn extended<T: Movable>(&self, x: &View<'_, T>, fill: T) -> Result<Option<ArrayD<T>>> {
        let around: Vec<&Lane> = self.lanes.iter().filter(|l| l.extends()).collect();
        if around.is_empty() {
            return Ok(None);
        }
        let mut extended = buffer(&self.extended_shape(), fill)?;
        {
            let mut view = extended.view_mut();
            let mut view = ViewMut::from(&mut view);
            let (mut from, mut to) = (x.rearranged(), view.rearranged());
            let mut picks = Vec::new();
            for l in around {
                match l.extension()? {
                    Ok(own) => {
                        from.part(l.axis, &(0..own.len()));
                        to.part(l.axis, &own);
                    }
                    Err(sources) => picks.push((l.axis, sources)),
                }
            }
            if !to.shape().contains(&0) {
                move_along(&picks, &from.view(), &mut to.view())?;
            }
        }
        Ok(Some(extended))
    }

    fn chain<T: Linear>(&self, transposed: bool, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.lanes.len() <= MOST_AXES {
            let lanes: Vec<&Lane> = self.lanes.iter().collect();
            return mix(&lanes, transposed, x, out, |taps, x, out| separable::run::<T>(&taps, self.rounding, x, out));
        }
        let codec = T::sum_codec(self.rounding);
        self.chain_between(transposed, x, out, codec, codec)
    }

    /// All axes, group after group, or the other way round with every map transposed.
    fn chain_between<I, O>(
        &self,
        transposed: bool,
        x: &View<'_, I::Stored>,
        out: &mut ViewMut<'_, O::Stored>,
        load: I,
        store: O,
    ) -> Result<()>
    where
        I: Codec<Computed: Real>,
        O: Codec<Computed = I::Computed>,
    {
        let mut groups = groups_of_lanes(&self.lanes);
        if transposed {
            groups.reverse();
        }
        let [first, middle @ .., last] = &groups[..] else {
            return mix_between(groups.first().map_or(&[][..], |g| g), transposed, x, out, (load, store));
        };
        let mut shape = x.shape.to_vec();
        let mut after = |group: &[&Lane]| {
            group.iter().for_each(|l| shape[l.axis] = l.made_len(transposed));
            buffer(&shape, I::Computed::default())
        };
        let between = Plain::<I::Computed>::default();
        let mut held = after(first)?;
        mix_between(first, transposed, x, &mut ViewMut::from(&mut held.view_mut()), (load, between))?;
        for group in middle {
            let mut next = after(group)?;
            let to = &mut next.view_mut();
            mix_between(group, transposed, &View::from(&held.view()), &mut ViewMut::from(to), (between, between))?;
            held = next;
        }
        mix_between(last, transposed, &View::from(&held.view()), out, (between, store))
    }
}

/// Adds what lies outside an axis to where it came from.
fn fold_margins<S: Real>(held: &mut ArrayD<S>, lane: &Lane) {
    let ((before, after), len) = (lane.sampler.margins(), lane.sampler.map().in_len);
    let axis = Axis(lane.axis);
    let outside = (0..before).chain(before + len..before + len + after);
    for v in outside {
        let Some(to) = lane.sampler.source(v as i64 - before as i64) else { continue };
        let (left, right) = held.view_mut().split_at(axis, if v < before { before } else { before + len });
        let (from, mut into) = if v < before {
            (left.index_axis_move(axis, v), right.index_axis_move(axis, to))
        } else {
            (right.index_axis_move(axis, v - before - len), left.index_axis_move(axis, before + to))
        };
        into.zip_mut_with(&from, |a, b| *a = S::add(*a, *b));
    }
}
