//! Classifies a frame as firmware does: the model is part of the program, the arena is static memory, and nothing is
//! allocated. Only `main`, which prints, needs an operating system.
//!
//! ```text
//! cargo run --release -p resnext --example static_arena
//! ```

use resnext::{Frame, Model, Prediction, RunError, Runner, top_k};
use std::error::Error;
use std::sync::Mutex;

/// The model. It is used where it lies, in flash for example: any alignment serves, and weights are not copied.
static ARTIFACT: &[u8] = include_bytes!("../models/reference/resnext26_16x4d_half-imagenette.rnx");

/// Bytes of arena: what `resnext inspect` says, or more. With less, [`Runner::new`] returns an error.
const ARENA_LEN: usize = 520 * 1024 + 512;

/// Classes of the model.
const CLASSES: usize = 10;

/// The working memory. On bare metal, `static_cell::ConstStaticCell` or the mutex of `critical-section` takes the place of
/// the standard library's.
static ARENA: Mutex<[u8; ARENA_LEN]> = Mutex::new([0; ARENA_LEN]);

/// Returns the most probable class of `frame`. Everything here is `no_std`.
fn classify(model: &Model<'_>, arena: &mut [u8], frame: &Frame<'_>) -> Result<Option<Prediction>, RunError> {
    let mut logits = [0.0; CLASSES];
    let mut runner = Runner::new(model, arena)?;
    runner.run(frame, &mut logits)?;
    Ok(top_k::<1>(&logits).first().copied())
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = Model::from_bytes(ARTIFACT)?;
    // A frame of one colour, as a camera with its lid on delivers it.
    static PIXELS: [u8; 320 * 240 * 3] = [16; 320 * 240 * 3];
    let frame = Frame::rgb8(&PIXELS, 320, 240, 320 * 3)?;
    let mut arena = ARENA.lock().map_err(|_| "the arena's user has panicked")?;
    if let Some(best) = classify(&model, &mut *arena, &frame)? {
        let label = model.class(best.class).map_or("", |class| class.label);
        println!("{label}: {:.1} % of a black picture", 100.0 * best.probability);
    }
    println!("model {} bytes, arena {} of {ARENA_LEN} bytes", model.artifact_len(), model.arena_len());
    Ok(())
}
