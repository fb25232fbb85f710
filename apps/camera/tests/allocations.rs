//! Composing and showing a frame allocates nothing.

mod support;

use resnext_camera::display::framebuffer::{Mode, PixelLayout};
use resnext_camera::display::{Canvas, Framebuffer, Ground, overlay};
use resnext_camera::{Reading, Show};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{landscape, reading};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `System`, and `ptr` came from it.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test in this program, because the allocations of others would be counted too.
#[test]
fn a_frame_allocates_nothing() {
    let image = landscape(640, 480);
    let mode = Mode { width: 800, height: 480, stride: 1600, offset: 0, format: PixelLayout::RGB565 };
    let mut screen = Framebuffer::new(mode, vec![0u8; 1600 * 480]).unwrap();
    let mut canvas = Canvas::new(240, 240);
    let before = COUNT.load(Ordering::Relaxed);
    for frame in 0..20 {
        let reading = Reading { frame, latency_ms: frame as f32 * 7.3, ..reading() };
        screen.show(&reading, Some(&image.picture())).unwrap();
        overlay(&mut canvas, &reading, Ground::Opaque).unwrap();
        canvas.compose(&reading, Some(&image.picture()));
    }
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0);
    drop(vec![0u8; 1]);
    assert_eq!(COUNT.load(Ordering::Relaxed) - before, 1, "it counts");
}
