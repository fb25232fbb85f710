//! After loading, an inference allocates nothing on any thread. There is only one test, so that nothing else runs meanwhile.

use resnext::preprocess::{Plane, Yuv, YuvMatrix, YuvRange};
use resnext::{Frame, Model, Pool, Runner, Serial, Workers};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting every request of every thread.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Returns the number of requests to the allocator while `f` runs twice, after one run to warm up.
///
/// A thread of the test harness may allocate meanwhile. So the least of five tries counts, since each includes what `f`
/// requests.
fn requests(mut f: impl FnMut()) -> usize {
    f();
    let mut once = || {
        let before = REQUESTS.load(Ordering::Relaxed);
        (0..2).for_each(|_| f());
        REQUESTS.load(Ordering::Relaxed) - before
    };
    let mut least = once();
    for _ in 1..5 {
        if least > 0 {
            least = least.min(once());
        }
    }
    least
}

#[test]
fn nothing_is_allocated_after_loading() {
    assert_eq!(requests(|| drop(std::hint::black_box(vec![0u8; 1000]))), 4, "requests are counted");

    // An emulator takes seconds for each inference of the reference network.
    let artifacts = [
        ("small", resnext_testing::small().bytes, &[1, 2, 4][..]),
        ("reference", resnext_testing::reference(), &[2]),
    ];
    for (name, artifact, threads) in artifacts {
        let model = Model::from_bytes(&artifact).unwrap();
        let loading = requests(|| {
            Model::from_bytes(&artifact).unwrap();
        });
        assert_eq!(loading, 0, "{name}: loading borrows");

        for &threads in threads {
            let pool = Pool::new(threads).unwrap();
            let workers: &dyn Workers = if threads == 1 { &Serial } else { &pool };
            let case = format!("{name}, {threads} threads");
            let mut arena = vec![0; model.arena_len()];
            let runner = Runner::new(&model, &mut arena).unwrap().with_workers(workers);
            check(runner, &model, &case);

            #[cfg(feature = "tract")]
            if let Some(mut gemm) = resnext::TractGemm::new(&model, threads) {
                let mut arena = vec![0; model.arena_len()];
                let runner =
                    Runner::new(&model, &mut arena).unwrap().with_workers(workers).with_tract(&mut gemm);
                check(runner, &model, &format!("{case}, tract"));
            }
        }
    }
}

fn check(mut runner: Runner<'_>, model: &Model<'_>, case: &str) {
    let pixels = resnext_testing::input_pixels(model, 1);
    // Taller than wide, and larger than the input by no whole number.
    let (width, height) = (61, 83);
    let picture = resnext_testing::picture(width, height, 2);
    let frame = Frame::rgb8(&picture, width as u32, height as u32, width * 3).unwrap();
    let (luma, chroma) = picture.split_at(width * height);
    let yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };
    let (luma, chroma) = (Plane::new(luma, width), Plane::new(chroma, width + 1));
    let camera = Frame::nv12(luma, chroma, width as u32, height as u32, yuv).unwrap();
    let mut logits = vec![0.0; model.class_count()];

    let from_pixels = requests(|| {
        runner.load_pixels(&pixels).unwrap();
        runner.infer(&mut logits).unwrap();
    });
    let from_frame = requests(|| {
        runner.load_frame(&frame).unwrap();
        runner.load_frame(&camera).unwrap();
        runner.infer(&mut logits).unwrap();
    });
    let top = requests(|| {
        std::hint::black_box(resnext::top_k::<5>(&logits));
    });
    assert_eq!((from_pixels, from_frame, top), (0, 0, 0), "{case}: load_pixels, load_frame, top_k");
}
