//! One bench for each kernel family and instruction-set level, on one thread, into memory that is used again: what is
//! measured is the kernel, not the first touch of fresh pages or the allocator.
//!
//! `cargo bench` runs all in about two minutes; `cargo bench -- 'bilinear x2/avx2'` one. With `UPSAMPLE_RS_ISA` set, only
//! that level runs. Moves, resampling and pooling count the bytes of input and output; convolutions count floating-point
//! operations, a multiplication and an addition each (`Gelem/s` reads GFLOP/s).
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{ArrayD, ArrayView1, ArrayViewD, ArrayViewMutD, IxDyn, s};
use upsample_rs::engine::parallel::{for_each_long, on_interrupt};
use upsample_rs::engine::simd::{self, Isa};
use upsample_rs::*;

/// The levels to measure.
fn levels() -> Vec<Isa> {
    let best = simd::force(None);
    let only = std::env::var_os("UPSAMPLE_RS_ISA").is_some();
    Isa::ALL.into_iter().filter(|&isa| isa == best || (isa < best && !only)).collect()
}

/// Times `run` at every level under the name `family/level`.
fn family(c: &mut Criterion, name: &str, work: Throughput, mut run: impl FnMut()) {
    let mut group = c.benchmark_group(name);
    group.throughput(work);
    for isa in levels() {
        simd::force(Some(isa));
        group.bench_function(BenchmarkId::from_parameter(isa.name()), |b| b.iter(&mut run));
    }
    simd::force(None);
    group.finish();
}

/// Values from 0 to 250, no two neighbours alike.
fn filled(shape: &[usize]) -> ArrayD<f32> {
    let mut v = 0_u32;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        v = (v + 97) % 251;
        v as f32
    })
}

/// Memory for a result, beginning a cache line as NumPy's and our own allocations for large results do.
struct Out {
    base: ArrayD<f32>,
    from: usize,
    shape: Vec<usize>,
}

impl Out {
    fn new(shape: &[usize]) -> Self {
        let base = filled(&[shape.iter().product::<usize>() + 16]);
        let from = base.as_ptr().align_offset(64).min(16);
        Self { base, from, shape: shape.to_vec() }
    }

    fn len(&self) -> usize {
        self.base.len() - 16
    }

    fn view(&self) -> ArrayViewD<'_, f32> {
        let flat = self.base.slice(s![self.from..self.from + self.len()]);
        flat.into_shape_with_order(IxDyn(&self.shape)).unwrap()
    }

    fn view_mut(&mut self) -> ArrayViewMutD<'_, f32> {
        let (from, len) = (self.from, self.len());
        let flat = self.base.slice_mut(s![from..from + len]);
        flat.into_shape_with_order(IxDyn(&self.shape)).unwrap()
    }
}

/// Bytes of so many `f32`.
fn moved(elements: usize) -> Throughput {
    Throughput::Bytes(4 * elements as u64)
}

fn resampling(c: &mut Criterion) {
    let cases: [(&str, Mode, &[usize], usize); 4] = [
        ("nearest x2", Mode::Nearest, &[1, 64, 128, 128], 2),
        ("bilinear x2", Mode::Linear, &[1, 64, 128, 128], 2),
        ("trilinear x2", Mode::Linear, &[1, 8, 32, 64, 64], 2),
        ("linear x4", Mode::Linear, &[16, 64, 1024], 4),
    ];
    for (name, mode, shape, factor) in cases {
        let x = filled(shape);
        let size: Vec<usize> = shape[2..].iter().map(|n| n * factor).collect();
        let out_shape: Vec<usize> = shape[..2].iter().copied().chain(size.iter().copied()).collect();
        let params = InterpolateParams::new(mode, Target::Size(size));
        let mut out = Out::new(&out_shape);
        let work = moved(x.len() + out.len());
        family(c, name, work.clone(), || interpolate_into(&x.view(), &params, out.view_mut()).unwrap());
        if name == "bilinear x2" {
            let mut grad = filled(shape);
            family(c, "bilinear x2 backward", work, || {
                interpolate_backward_into(&out.view(), &params, grad.view_mut()).unwrap();
            });
        }
    }
}

fn pooling(c: &mut Criterion) {
    let x = filled(&[1, 64, 256, 256]);
    for (name, kernel, pad) in [("k2s2", 2, 0), ("k3s2", 3, 1)] {
        let params = PoolParams {
            stride: vec![2, 2],
            padding: vec![Pad::both(pad).into(); 2],
            ..PoolParams::new(&[kernel, kernel])
        };
        let (mut values, mut indices) = max_pool_with_indices::<_, i64>(&x.view(), &params).unwrap();
        let work = moved(x.len() + values.len());
        family(c, &format!("max_pool {name}"), work, || {
            max_pool_into(&x.view(), &params, values.view_mut()).unwrap();
        });
        let work = moved(x.len() + values.len() + 2 * indices.len());
        family(c, &format!("max_pool {name} indices"), work.clone(), || {
            max_pool_with_indices_into(&x.view(), &params, values.view_mut(), indices.view_mut()).unwrap();
        });
        if name == "k2s2" {
            let (unpool, mut out) = (UnpoolParams::new(&[2, 2]), Out::new(x.shape()));
            family(c, "max_unpool k2s2", work, || {
                max_unpool_into(&values.view(), &indices.view(), &unpool, out.view_mut()).unwrap();
            });
        }
    }
}

fn nails(c: &mut Criterion) {
    let x = filled(&[8, 64, 56, 56]);
    let params = NailsParams { factor: vec![2, 2], offset: vec![0, 0], channels_last: false };
    let mut out = Out::new(&[8, 64, 112, 112]);
    family(c, "bed_of_nails x2", moved(x.len() + out.len()), || {
        bed_of_nails_into(&x.view(), &params, out.view_mut()).unwrap();
    });
}

fn convolution(c: &mut Criterion) {
    let transposed = Kind::Transposed { output_padding: vec![], output_size: None };
    let cases: [(&str, Kind, usize, usize); 2] =
        [("conv 3x3", Kind::Forward, 3, 1), ("conv_transpose k4s2", transposed, 4, 2)];
    let x = filled(&[1, 32, 56, 56]);
    for (name, kind, kernel, stride) in cases {
        let weight = filled(&[32, 32, kernel, kernel]);
        let bias = ArrayView1::from(&[0.0; 32]);
        let params = ConvParams {
            stride: vec![stride; 2],
            padding: vec![Padding::Explicit(Pad::both(1)); 2],
            ..ConvParams::new(2, kind)
        };
        let mut out = conv(&x.view(), &weight.view(), Some(&bias), &params).unwrap();
        // Each output element sums channels * taps products, of a stride-2 transposed one a quarter of the taps.
        let products = out.len() * 32 * kernel * kernel / (stride * stride);
        family(c, name, Throughput::Elements(2 * products as u64), || {
            conv_into(&x.view(), &weight.view(), Some(&bias), &params, out.view_mut()).unwrap();
        });
    }
}

/// What work in the middle of a long unit asks between two jobs, of 10 microseconds and more: whether to stop.
fn asking(c: &mut Criterion) {
    on_interrupt(|| false);
    c.bench_function("asking whether to stop", |b| {
        b.iter_custom(|times| {
            let took = Mutex::new(Duration::ZERO);
            let asked = for_each_long(1, 1, |_, pause| {
                let begun = Instant::now();
                for _ in 0..times {
                    black_box(pause).here()?;
                }
                *took.lock().unwrap() = begun.elapsed();
                Ok(())
            });
            asked.unwrap();
            took.into_inner().unwrap()
        });
    });
}

fn single_threaded(c: &mut Criterion) {
    set_num_threads(1).unwrap();
    for families in [resampling, pooling, nails, convolution, asking] {
        families(c);
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .without_plots();
    targets = single_threaded
}
criterion_main!(kernels);
