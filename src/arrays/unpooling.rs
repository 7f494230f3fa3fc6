//! Max unpooling.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{fresh, named, require_entries, require_shape};
use crate::element::{Added, Element, Ordered};
use crate::error::{Error, Result};
use crate::geometry::window::{AxisName, Pad};
use crate::layout::{Axes, View, ViewMut};
use crate::ops::index::{Duplicates, IndexElement, IndexPlan, Placed, unpooled_len};

/// Parameters of an unpooling, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpoolParams {
    /// Elements per window of the pooling it reverses.
    pub kernel_size: Vec<usize>,
    /// Distance between its windows; empty means `kernel_size`.
    pub stride: Vec<usize>,
    /// Elements of its padding.
    pub padding: Vec<Pad>,
    /// Output lengths, each less than a stride away from `(len - 1)*stride - padding + kernel_size`, which is used if
    /// there are none.
    pub output_size: Option<Vec<usize>>,
    /// What happens to elements that land on the same place.
    pub duplicates: Duplicates,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl UnpoolParams {
    /// Windows of these lengths, next to each other; of several elements on one place the last stays.
    #[must_use]
    pub fn new(kernel_size: &[usize]) -> Self {
        Self {
            kernel_size: kernel_size.to_vec(),
            stride: kernel_size.to_vec(),
            padding: vec![Pad::default(); kernel_size.len()],
            output_size: None,
            duplicates: Duplicates::Last,
            channels_last: false,
        }
    }
}

/// The plan of an unpooling of values of this shape, called `name`.
fn unpool_plan<T>(name: &str, values: &[usize], indices: &[usize], p: &UnpoolParams) -> Result<IndexPlan> {
    let rank = p.kernel_size.len();
    let kernel = ("kernel_size", rank);
    require_entries(kernel, &[("padding", p.padding.len())])?;
    let stride = if p.stride.is_empty() { &p.kernel_size } else { &p.stride };
    require_entries(kernel, &[("stride", stride.len())])?;
    let sizes = p.output_size.as_deref();
    require_entries(kernel, &[("output_size", sizes.map_or(rank, <[_]>::len))])?;
    let axes = Axes::new(values.len(), rank, p.channels_last)?;
    let (lens, mut spatial) = (axes.spatial(values), [1; 3]);
    for i in 0..rank {
        let (at, size, axis) = (3 - rank + i, sizes.map(|s| s[i]), AxisName { index: i, rank });
        spatial[at] = unpooled_len(lens[at], p.kernel_size[i], stride[i], p.padding[i], size, axis)?;
    }
    let shape = axes.with_spatial(values, spatial);
    let plan = IndexPlan::new(axes, (name, values), indices, ("output shape", &shape), size_of::<T>())?;
    Ok(plan.with_windows(&p.kernel_size, stride))
}

/// Puts each element on the place its index names, zeros elsewhere: the partial inverse of [`max_pool_with_indices`](super::max_pool_with_indices).
///
/// Sizes are those of `torch.nn.functional.max_unpool{1,2,3}d` (ONNX MaxUnpool). Elements that land on the same place
/// are resolved by [`UnpoolParams::duplicates`], in row-major order at any number of threads.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool};
///
/// let values = array![[4.0_f32]].into_dyn();
/// let indices = array![[2_i64]].into_dyn();
/// let y = max_unpool(&values.view(), &indices.view(), &UnpoolParams::new(&[2, 2]))?;
/// assert_eq!(y, array![[0.0, 0.0], [4.0, 0.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; [`Error::Index`] for an index outside its spatial block; [`Error::Value`] for
/// an index that is there twice, with [`Duplicates::Error`]; or if memory cannot be had.
pub fn max_unpool<T: Ordered + Added, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        if !plan.checks_while_placing() {
            plan.check(&View::from(indices))?;
        }
        let mut out = fresh(&plan.block_shape)?;
        unpool(&plan, p.duplicates, x, indices, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`max_unpool`] into `out`.
///
/// # Errors
/// As [`max_unpool`], and if `out` has another shape.
pub fn max_unpool_into<T: Ordered + Added, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        require_shape("out", out.shape(), &plan.block_shape)?;
        if plan.checks_while_placing() {
            plan.check(&View::from(indices))?;
        }
        unpool(&plan, p.duplicates, x, indices, &mut out)
    })
}

fn unpool<T: Ordered + Added, I: IndexElement>(
    plan: &IndexPlan,
    rule: Duplicates,
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    match rule {
        Duplicates::Sum => plan.add(&View::from(x), &View::from(indices), &mut ViewMut::from(out)),
        Duplicates::Max => plan.largest(&View::from(x), &View::from(indices), &mut ViewMut::from(out)),
        _ => unpool_move(plan, rule, x, indices, out),
    }
}

/// [`max_unpool`] by copying alone, for every element type, `bool` and complex included.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool_move};
///
/// let (mask, indices) = (array![true].into_dyn(), array![1_i32].into_dyn());
/// let y = max_unpool_move(&mask.view(), &indices.view(), &UnpoolParams::new(&[2]))?;
/// assert_eq!(y, array![false, true].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_unpool`]; [`Error::Type`] for [`Duplicates::Sum`] and [`Duplicates::Max`].
pub fn max_unpool_move<T: Element, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool_move", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        if !plan.checks_while_placing() {
            plan.check(&View::from(indices))?;
        }
        let mut out = fresh(&plan.block_shape)?;
        unpool_move(&plan, p.duplicates, x, indices, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`max_unpool_move`] into `out`.
///
/// # Errors
/// As [`max_unpool_move`], and if `out` has another shape.
pub fn max_unpool_move_into<T: Element, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool_move", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        require_shape("out", out.shape(), &plan.block_shape)?;
        if plan.checks_while_placing() {
            plan.check(&View::from(indices))?;
        }
        unpool_move(&plan, p.duplicates, x, indices, &mut out)
    })
}

fn unpool_move<T: Element, I: IndexElement>(
    plan: &IndexPlan,
    rule: Duplicates,
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    let (x, indices) = (View::from(x), View::from(indices));
    let placed = match rule {
        Duplicates::Last => Placed::Last,
        Duplicates::First => Placed::First,
        Duplicates::Error => {
            plan.refuse_duplicates(&indices)?;
            Placed::Last
        }
        Duplicates::Sum | Duplicates::Max => {
            return Err(Error::kind(format!("duplicates = {rule:?}: must be Last, First or Error, which only copy")));
        }
    };
    plan.place(placed, &x, &indices, &mut ViewMut::from(out))
}

/// The gradient by the values of [`max_unpool`], for the gradient of its result, its indices and the same parameters:
/// each index' element of the gradient, as torch gives it. (Values that lost their place to a duplicate get it too.)
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool_backward};
///
/// let grad = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let indices = array![[2_i64]].into_dyn();
/// let grad_x = max_unpool_backward(&grad.view(), &indices.view(), &UnpoolParams::new(&[2, 2]))?;
/// assert_eq!(grad_x, array![[3.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_unpool`], and if the gradient has not the shape of the result.
pub fn max_unpool_backward<T: Element, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool_backward", || {
        let plan = unpool_plan::<T>("indices", indices.shape(), indices.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.block_shape)?;
        let indices = View::from(indices);
        plan.check(&indices)?;
        let mut out = fresh(&plan.values_shape)?;
        plan.take(&View::from(grad), &indices, &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`max_unpool_backward`] into `out`, whose shape is the indices'.
///
/// # Errors
/// As [`max_unpool_backward`], and if `out` has another shape.
pub fn max_unpool_backward_into<T: Element, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool_backward", || {
        let plan = unpool_plan::<T>("indices", indices.shape(), indices.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.block_shape)?;
        require_shape("out", out.shape(), &plan.values_shape)?;
        plan.take(&View::from(grad), &View::from(indices), &mut ViewMut::from(&mut out))
    })
}
