//! Decodes photos for `benches/jpeg.py` and `benches/photo.py`. Reads a path from each line of standard input. Writes width and
//! height (32 bits, little-endian) and the RGB bytes to standard output; both are 0 if the file is refused. The argument `zune`
//! selects zune-jpeg, which the `image` crate uses.

use resnext_photo::Rgb8Image;
use std::io::{BufRead, BufWriter, Error, Write};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

fn zune(bytes: &[u8]) -> Option<Rgb8Image> {
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
    let data = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    // A grey JPEG has one byte per pixel.
    let data =
        if data.len() == width * height { data.iter().flat_map(|&grey| [grey; 3]).collect() } else { data };
    Some(Rgb8Image { width: width as u32, height: height as u32, data })
}

fn main() -> Result<(), Error> {
    let decode = if std::env::args().nth(1).as_deref() == Some("zune") {
        zune
    } else {
        |bytes: &[u8]| Rgb8Image::decode(bytes).ok()
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let refused = Rgb8Image { width: 0, height: 0, data: Vec::new() };
        let image = decode(&std::fs::read(&path)?).unwrap_or(refused);
        out.write_all(&image.width.to_le_bytes())?;
        out.write_all(&image.height.to_le_bytes())?;
        out.write_all(&image.data)?;
    }
    out.flush()
}
