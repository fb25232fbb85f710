use resnext_photo::Rgb8Image;
use std::io::{BufRead, Write};
fn main() {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for path in std::io::stdin().lock().lines().map_while(Result::ok) {
        let image = Rgb8Image::decode(&std::fs::read(&path).unwrap()).unwrap();
        out.write_all(&image.width.to_le_bytes()).unwrap();
        out.write_all(&image.height.to_le_bytes()).unwrap();
        out.write_all(&image.data).unwrap();
    }
}
