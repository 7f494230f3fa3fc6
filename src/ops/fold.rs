//! Windows as columns, and columns added up where they came from.
//!
//! `unfold` gives every tap of a kernel, of every channel, a row of columns: the elements that it meets in all windows,
//! zeros in the padding. `fold` is its transpose: an element is the sum of its values in all windows that have it. It
//! gathers: rows of the result are summed tap by tap, in the order of the taps, so the sum is the same however the work is
//! split.

use std::ops::Range;

use super::shuffle::recut;
use crate::element::{Codec, Plain, Ring};
use crate::engine::parallel;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Place};
use crate::engine::simd;
use crate::error::{Error, Result, Shape};
use crate::geometry::phase::Links;
use crate::geometry::window::{AxisName, Pad, Padding, Windows};
use crate::kernels::fold::{AddTap, Phases, TakeTap, Unphase};
use crate::layout::{Axes, Cuts, Grid, Lump, Recut, RecutMut, View, ViewMut, element_count, require_entries};

/// Parameters of windows, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldParams {
    /// Elements per window.
    pub kernel: Vec<usize>,
    /// Distance between the elements of a window.
    pub dilation: Vec<usize>,
    /// Zeros around the axis.
    pub padding: Vec<Pad>,
    /// Distance between windows.
    pub stride: Vec<usize>,
    /// Whether the channel axis is the last one, of image and of columns.
    pub channels_last: bool,
}

impl FoldParams {
    /// Windows of this size, one element apart, without padding or gaps, channels first.
    #[must_use]
    pub fn new(kernel: &[usize]) -> Self {
        let n = kernel.len();
        Self {
            kernel: kernel.to_vec(),
            dilation: vec![1; n],
            padding: vec![Pad::default(); n],
            stride: vec![1; n],
            channels_last: false,
        }
    }
}

/// Elements of a row that are made at once.
const TILE: usize = 8192;

/// Bytes of rows to pack or to sum at once.
const BAND_BYTES: usize = 64 << 10;

/// Bytes of an image to read at once for every tap in turn: a share of L2.
const READ_BYTES: usize = 256 << 10;

/// A checked relation between an image and its columns.
#[derive(Debug, Clone)]
pub struct FoldPlan {
    /// Shape of the image: batch, channels, space.
    pub image_shape: Vec<usize>,
    /// Shape of the columns: batch, channels times kernel elements, windows.
    pub columns_shape: Vec<usize>,
    axes: Axes,
    windows: [Windows; 3],
    columns: Cuts,
}

impl FoldPlan {
    /// Checks windows on an image of this shape whose elements have `itemsize` bytes. An image without a channel axis has
    /// columns without channels.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn of_image(shape: &[usize], itemsize: usize, p: &FoldParams) -> Result<Self> {
        let axes = Axes::new(shape.len(), p.kernel.len(), p.channels_last)?;
        let windows = windows(axes.spatial(shape), p)?;
        let (taps, count) = counts(&windows, p)?;
        let channel = if p.channels_last { Some(shape.len() - 1) } else { axes.first().checked_sub(1) };
        let channels = channel.map_or(1, |c| shape[c]);
        let rows = channels.checked_mul(taps).filter(|&n| isize::try_from(n).is_ok()).ok_or_else(|| {
            Error::value(format!(
                "kernel_size = {}: {channels} channels make more than 2**63 columns",
                Shape(&p.kernel)
            ))
        })?;
        let mut columns = shape[..if p.channels_last { axes.first() } else { channel.unwrap_or(0) }].to_vec();
        columns.extend(if p.channels_last { [count, rows] } else { [rows, count] });
        Self::between(shape.to_vec(), columns, axes, windows, channel, itemsize)
    }

    /// Checks columns of this shape, of windows on an image of spatial size `output_size`.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn of_columns(shape: &[usize], itemsize: usize, output_size: &[usize], p: &FoldParams) -> Result<Self> {
        let rank = p.kernel.len();
        require_entries("output_size", output_size.len(), rank)?;
        if shape.len() < 2 || shape.len() + rank - 1 > crate::layout::MAX_NDIM {
            return Err(Error::value(format!(
                "x.ndim = {}: must be from 2 to {}, columns and windows among them",
                shape.len(),
                crate::layout::MAX_NDIM + 1 - rank
            )));
        }
        let batch = shape.len() - 2;
        let (rows_at, count_at) = if p.channels_last { (batch + 1, batch) } else { (batch, batch + 1) };
        let mut lens = [1; 3];
        lens.get_mut(3_usize.saturating_sub(rank)..)
            .filter(|l| l.len() == rank && rank > 0)
            .ok_or_else(|| Error::value(format!("{rank} spatial axes: must be from 1 to 3")))?
            .copy_from_slice(output_size);
        let windows = windows(lens, p)?;
        let (taps, count) = counts(&windows, p)?;
        if !shape[rows_at].is_multiple_of(taps) {
            return Err(Error::value(format!(
                "x.shape[{rows_at}] = {} columns: must be a multiple of {taps}, the elements of kernel_size",
                shape[rows_at]
            )));
        }
        if shape[count_at] != count {
            return Err(Error::value(format!(
                "x.shape[{count_at}] = {} windows: must be {count}, as many as output_size, kernel_size, dilation, padding and stride make",
                shape[count_at]
            )));
        }
        let channels = shape[rows_at] / taps;
        let mut image = shape[..batch].to_vec();
        if !p.channels_last {
            image.push(channels);
        }
        image.extend(output_size);
        if p.channels_last {
            image.push(channels);
        }
        let axes = Axes::new(image.len(), rank, p.channels_last)?;
        let channel = if p.channels_last { image.len() - 1 } else { batch };
        Self::between(image, shape.to_vec(), axes, windows, Some(channel), itemsize)
    }

    fn between(
        image: Vec<usize>,
        columns: Vec<usize>,
        axes: Axes,
        windows: [Windows; 3],
        channel: Option<usize>,
        itemsize: usize,
    ) -> Result<Self> {
        element_count(&image, itemsize)?;
        element_count(&columns, itemsize)?;
        let batch = columns.len() - 2;
        let taps = windows.iter().map(|w| w.kernel).product();
        let windows_of = windows.map(|w| w.out_len).to_vec();
        let channels = channel.map_or(1, |c| image[c]);
        let mut parts: Vec<_> = columns[..batch].iter().map(|&n| vec![n]).collect();
        // Taps become the last of the outer axes; so rows of one tap are those of an image.
        let order = if axes.channels_last {
            parts.extend([windows_of, vec![channels, taps]]);
            (0..batch).chain([batch + 4, batch, batch + 1, batch + 2, batch + 3]).collect()
        } else {
            parts.extend([vec![channels, taps], windows_of]);
            (0..batch + 5).collect()
        };
        Ok(Self { image_shape: image, columns_shape: columns, axes, windows, columns: Cuts { parts, order } })
    }

    /// Refuses columns of another shape.
    ///
    /// # Errors
    /// Names both shapes.
    pub fn check_columns(&self, name: &str, shape: &[usize]) -> Result<()> {
        if shape != self.columns_shape {
            let (found, wanted) = (Shape(shape), Shape(&self.columns_shape));
            return Err(Error::value(format!("{name}.shape = {found}: must be the result's, {wanted}")));
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.image_shape.contains(&0) || self.columns_shape.contains(&0)
    }

    /// Axes of the columns once they are cut.
    fn column_axes(&self) -> Axes {
        Axes { ndim: self.columns.order.len(), rank: 3, channels_last: self.axes.channels_last }
    }

    /// How the image is cut if its windows lie side by side and fill it.
    fn side_by_side(&self) -> Option<Cuts> {
        let plain = |w: &Windows| w.kernel == w.stride && (w.dilation == 1 || w.kernel == 1) && w.pad == Pad::default();
        if !self.windows.iter().all(|w| plain(w) && w.out_len * w.kernel == w.in_len) {
            return None;
        }
        let (first, rank, ndim) = (self.axes.first(), self.axes.rank, self.axes.ndim);
        let mut parts: Vec<_> = self.image_shape.iter().map(|&n| vec![n]).collect();
        for i in 0..rank {
            let w = &self.windows[3 - rank + i];
            parts[first + i] = vec![w.out_len, w.kernel];
        }
        let windows = (0..rank).map(|i| first + 2 * i);
        let taps = (0..rank).map(|i| first + 2 * i + 1);
        let after = first + 2 * rank..ndim + rank;
        // As the columns': batch and channels, taps, windows; or batch, windows, channels, taps.
        let order = if self.axes.channels_last {
            (0..first).chain(windows).chain(after).chain(taps).collect()
        } else {
            (0..first).chain(taps).chain(windows).collect()
        };
        Some(Cuts { parts, order })
    }

    /// The columns cut as [`FoldPlan::side_by_side`] cuts the image.
    fn columns_side_by_side(&self) -> Cuts {
        let (rank, batch) = (self.axes.rank, self.columns_shape.len() - 2);
        let spatial = &self.windows[3 - rank..];
        let mut taps: Vec<_> = spatial.iter().map(|w| w.kernel).collect();
        if self.axes.channels_last || self.axes.first() > 0 {
            taps.insert(0, self.columns.parts[batch + usize::from(self.axes.channels_last)][0]);
        }
        let windows: Vec<_> = spatial.iter().map(|w| w.out_len).collect();
        let mut parts: Vec<_> = self.columns_shape[..batch].iter().map(|&n| vec![n]).collect();
        parts.extend(if self.axes.channels_last { [windows, taps] } else { [taps, windows] });
        Cuts { order: (0..parts.iter().map(Vec::len).sum()).collect(), parts }
    }

    /// Writes the columns of an image.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn unfold<T: Copy + Send + Sync + 'static>(
        &self,
        image: &View<'_, T>,
        columns: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if let Some(cuts) = self.side_by_side() {
            return recut(image, &cuts, columns, &self.columns_side_by_side());
        }
        match size_of::<T>() {
            1 => self.unfold_lumps::<1>(&image.lumps(), columns.lumps()),
            2 => self.unfold_lumps::<2>(&image.lumps(), columns.lumps()),
            4 => self.unfold_lumps::<4>(&image.lumps(), columns.lumps()),
            8 => self.unfold_lumps::<8>(&image.lumps(), columns.lumps()),
            16 => self.unfold_lumps::<16>(&image.lumps(), columns.lumps()),
            32 => self.unfold_lumps::<32>(&image.lumps(), columns.lumps()),
            n => Err(Error::kind(format!("elements of {n} bytes: must have 1, 2, 4, 8, 16 or 32"))),
        }
    }

    fn unfold_lumps<const N: usize>(&self, image: &View<'_, Lump<N>>, columns: ViewMut<'_, Lump<N>>) -> Result<()> {
        let mut columns = RecutMut::new(columns, &self.columns);
        let job = Unfolding {
            links: self.links()?,
            image: image.grid_of(&self.axes),
            columns: columns.view().grid_of(&self.column_axes()),
        };
        job.run()
    }

    /// Writes the image whose elements are the sums of what columns hold of them.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn fold<C>(&self, codec: C, columns: &View<'_, C::Stored>, image: &mut ViewMut<'_, C::Stored>) -> Result<()>
    where
        C: Codec<Computed: Ring>,
    {
        if self.image_shape.contains(&0) {
            return Ok(());
        }
        let columns = Recut::new(*columns, &self.columns);
        let job = Folding {
            codec,
            links: self.links()?,
            stride: self.windows[2].stride,
            columns: columns.view().grid_of(&self.column_axes()),
            image: image.grid_of(&self.axes),
        };
        job.run()
    }

    fn links(&self) -> Result<[Links; 3]> {
        let [d, h, w] = &self.windows;
        Ok([Links::conv(d)?, Links::conv(h)?, Links::conv(w)?])
    }
}

/// The windows along each axis.
fn windows(lens: [usize; 3], p: &FoldParams) -> Result<[Windows; 3]> {
    let rank = p.kernel.len();
    for (name, len) in [("dilation", p.dilation.len()), ("padding", p.padding.len()), ("stride", p.stride.len())] {
        require_entries(name, len, rank)?;
    }
    let mut all = [Windows::plain(1, 1, 1, 1); 3];
    for index in 0..rank {
        let (axis, at) = (AxisName { index, rank }, 3 - rank + index);
        let padding = Padding::Explicit(p.padding[index]);
        all[at] = Windows::conv(lens[at], p.kernel[index], p.stride[index], p.dilation[index], padding, axis)?;
    }
    Ok(all)
}

/// Elements of a window, and number of windows.
fn counts(windows: &[Windows; 3], p: &FoldParams) -> Result<(usize, usize)> {
    let product = |what: &str, of: fn(&Windows) -> usize| {
        let n = windows.iter().try_fold(1usize, |n, w| n.checked_mul(of(w)));
        n.filter(|&n| isize::try_from(n).is_ok())
            .ok_or_else(|| Error::value(format!("kernel_size = {}: makes more than 2**63 {what}", Shape(&p.kernel))))
    };
    Ok((product("elements of a window", |w| w.kernel)?, product("windows", |w| w.out_len)?))
}

/// Calls `run` with stretches of neighbouring rows, of one plane and strip of one block, at most `most` of them.
fn stretches(
    units: Range<usize>,
    [planes, height, strips]: [usize; 3],
    most: usize,
    mut run: impl FnMut(usize, usize, usize, Range<usize>) -> Result<()>,
) -> Result<()> {
    let mut unit = units.start;
    while unit < units.end {
        let (group, row) = (unit / (planes * height), unit % (planes * height));
        let (d, h) = (row / height, row % height);
        let end = h.saturating_add(most.min(units.end - unit)).min(height);
        run(group / strips, group % strips, d, h..end)?;
        unit += end - h;
    }
    Ok(())
}

/// An unfolding under way.
struct Unfolding<const N: usize> {
    links: [Links; 3],
    image: Grid<*const Lump<N>>,
    columns: Grid<*mut Lump<N>>,
}

impl<const N: usize> Unfolding<N> {
    fn run(&self) -> Result<()> {
        let [planes, height, width] = self.columns.spatial;
        let inner = self.image.inner;
        let tile = (TILE / inner.max(1)).max(1).min(width);
        let strips = width.div_ceil(tile);
        let [kd, kh, kw] = self.links.each_ref().map(|l| l.runs.len());
        let plain = Plain::<Lump<N>>::default();
        let row = self.links[2].inputs(&(0..tile)).len().saturating_mul(inner * N);
        let read = row.saturating_mul(self.links[1].in_step.min(self.image.spatial[1]));
        let packs = !self.image.rows_lie_ready::<Plain<Lump<N>>>();
        let mut most = (if packs { BAND_BYTES } else { READ_BYTES } / read.max(1)).max(1);
        if !self.columns.rows_lie_ready::<Plain<Lump<N>>>() {
            most = most.min((BAND_BYTES / (tile * inner * N).max(1)).max(1));
        }
        let cost = (kd * kh * kw).saturating_mul(tile * inner);
        parallel::for_each(self.image.blocks() * strips * planes * height, cost, |units| {
            let (mut packed, mut made) = (Room::default(), Room::default());
            stretches(units, [planes, height, strips], most, |block, strip, d, rows| {
                let cols = strip * tile..((strip + 1) * tile).min(width);
                let [ld, lh, lw] = &self.links;
                let (across, down) = (lw.inputs(&cols), lh.inputs(&rows));
                for a in 0..kd {
                    let plane = ld.input_of(a, d).filter(|_| !across.is_empty() && !down.is_empty());
                    let place = |d| Place { block, d: d..d + 1, h: down.clone(), cols: across.clone() };
                    let from = plane.map(|d| self.image.rows(plain, &place(d), &mut packed)).transpose()?;
                    for b in 0..kh {
                        for c in 0..kw {
                            let tap = (a * kh + b) * kw + c;
                            let all = d * height + rows.start..d * height + rows.end;
                            self.columns.write_rows(
                                plain,
                                block * kd * kh * kw + tap,
                                &all,
                                &cols,
                                &mut made,
                                &mut |dst| {
                                    let take = TakeTap {
                                        src: from.zip(plane),
                                        from: across.start,
                                        at: (d, rows.clone()),
                                        down: lh.clip(b, &rows),
                                        down_step: lh.in_step,
                                        across: lw.clip(c, &cols),
                                        across_step: lw.in_step,
                                        cols: &cols,
                                        inner,
                                        dst,
                                    };
                                    simd::dispatch(take);
                                    Ok(())
                                },
                            )?;
                        }
                    }
                }
                Ok(())
            })
        })
    }
}

/// A folding under way.
struct Folding<C: Codec> {
    codec: C,
    links: [Links; 3],
    /// Distance between windows along W.
    stride: usize,
    columns: Grid<*const C::Stored>,
    image: Grid<*mut C::Stored>,
}

impl<C: Codec<Computed: Ring>> Folding<C> {
    fn run(&self) -> Result<()> {
        let [planes, height, width] = self.image.spatial;
        let inner = self.image.inner;
        let tile = (TILE / inner.max(1)).max(1).min(width);
        let strips = width.div_ceil(tile);
        let phases = Phases::new(self.stride, tile, inner);
        let taps: usize = self.links.iter().map(|l| l.runs.len()).product();
        let most = (BAND_BYTES / (phases.row_len() * size_of::<C::Computed>()).max(1)).max(1);
        let cost = taps.min(64).saturating_mul(tile * inner);
        parallel::for_each(self.image.blocks() * strips * planes * height, cost, |units| {
            let mut sums = scratch(most.min(planes * height) * phases.row_len())?;
            let (mut packed, mut row) = (Room::default(), scratch(tile * inner)?);
            stretches(units, [planes, height, strips], most, |block, strip, d, rows| {
                let cols = strip * tile..((strip + 1) * tile).min(width);
                sums.fill(C::Computed::default());
                self.add_taps(block, d, &rows, &cols, &phases, &mut sums, &mut packed)?;
                for (h, sums) in rows.zip(sums.chunks_exact_mut(phases.row_len())) {
                    let at = At { block, d, h };
                    if phases.in_order() {
                        self.image.store_from(self.codec, at, &cols, &mut sums[..cols.len() * inner]);
                        continue;
                    }
                    let row = &mut row[..cols.len() * inner];
                    simd::dispatch(Unphase { phases: &phases, sums, row });
                    self.image.store_from(self.codec, at, &cols, row);
                }
                Ok(())
            })
        })
    }

    /// Adds every tap's values to the sums of some rows.
    #[allow(clippy::too_many_arguments)]
    fn add_taps(
        &self,
        block: usize,
        d: usize,
        rows: &Range<usize>,
        cols: &Range<usize>,
        phases: &Phases,
        sums: &mut [C::Computed],
        packed: &mut Room<C::Computed>,
    ) -> Result<()> {
        let [ld, lh, lw] = &self.links;
        let [kd, kh, kw] = self.links.each_ref().map(|l| l.runs.len());
        for a in 0..kd {
            let Some(plane) = window_of(ld, a, d) else { continue };
            for b in 0..kh {
                let down = met(lh, b, rows);
                for c in 0..kw {
                    let across = met(lw, c, cols);
                    if down.len == 0 || across.len == 0 {
                        continue;
                    }
                    let place = Place {
                        block: (block * kd * kh * kw) + (a * kh + b) * kw + c,
                        d: plane..plane + 1,
                        h: down.out..down.out + down.len,
                        cols: across.out..across.out + across.len,
                    };
                    let src = self.columns.rows(self.codec, &place, packed)?;
                    simd::dispatch(AddTap {
                        src,
                        plane,
                        first: down.in_ - rows.start,
                        step: lh.in_step,
                        windows: place.h,
                        column: across.in_ - cols.start,
                        phases,
                        sums,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The window whose tap `k` is on element `i`.
fn window_of(links: &Links, k: usize, i: usize) -> Option<usize> {
    let run = met(links, k, &(i..i + 1));
    (run.len > 0).then_some(run.out)
}

/// Tap `k`'s pairs whose element lies in `elements`.
fn met(links: &Links, k: usize, elements: &Range<usize>) -> crate::geometry::phase::Run {
    let r = links.runs[k];
    let before = elements.start.saturating_sub(r.in_).div_ceil(links.in_step).min(r.len);
    let until = elements.end.saturating_sub(r.in_).div_ceil(links.in_step).min(r.len);
    let len = until.saturating_sub(before);
    crate::geometry::phase::Run { out: r.out + before, in_: r.in_ + before * links.in_step, len }
}
