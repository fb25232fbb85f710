//! Classifies a photo of any size and prints the five most probable classes.
//!
//! ```text
//! cargo run --release -p resnext --example classify_photo                         the bundled model on a bundled photo
//! cargo run --release -p resnext --example classify_photo -- photo.jpg model.rnx  your photo, your model
//! ```

use resnext::{Model, Runner, top_k};
use resnext_photo::Rgb8Image;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let bundled = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/calibration/samples/cat.jpg"));
    let photo = args.next().unwrap_or(bundled);
    let artifact = match args.next() {
        Some(path) => std::fs::read(path)?,
        None => resnext_models::reference::ARTIFACT.to_vec(),
    };

    let model = Model::from_bytes(&artifact)?;
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(&model, &mut arena)?;

    // A photo may be larger than anything that fits the arena, so it is resized and cropped in memory of its own.
    let image = Rgb8Image::decode(&std::fs::read(&photo)?)?;
    runner.load_pixels(&image.crop(model.preprocessing())?)?;
    runner.infer(&mut logits)?;

    println!("{}", photo.display());
    for best in top_k::<5>(&logits) {
        let label = model.class(best.class).map_or("", |class| class.label);
        println!("{:5.1} %  {label}", 100.0 * best.probability);
    }
    Ok(())
}
