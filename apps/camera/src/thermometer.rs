//! How hot the processor is.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A thermal zone of the kernel, read once a second.
#[derive(Debug)]
pub struct Thermometer {
    file: File,
    read: Option<Instant>,
    celsius: Option<f32>,
}

/// Between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

impl Thermometer {
    /// The zone of the processor (`cpu-thermal` of a Raspberry Pi, `CPU-therm` of a Jetson, `x86_pkg_temp`), or else the first
    /// there is.
    pub fn system() -> Option<Self> {
        Self::at(Path::new("/sys/class/thermal"))
    }

    fn at(zones: &Path) -> Option<Self> {
        let zones = fs::read_dir(zones).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut zones: Vec<_> = zones
            .filter_map(|zone| {
                let kind = fs::read_to_string(zone.join("type")).ok()?.to_ascii_lowercase();
                let file = File::open(zone.join("temp")).ok()?;
                let processor = ["cpu", "x86_pkg", "soc"].iter().any(|name| kind.contains(name));
                Some((!processor, zone, file))
            })
            .collect();
        zones.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (_, _, file) = zones.into_iter().next()?;
        Some(Self { file, read: None, celsius: None })
    }

    /// Degrees Celsius, at most a second old; `None` if the zone does not say. Allocates nothing.
    pub fn celsius(&mut self) -> Option<f32> {
        if self.read.is_none_or(|read| read.elapsed() >= INTERVAL) {
            self.read = Some(Instant::now());
            let mut text = [0; 16];
            let len = self.file.read_at(&mut text, 0).unwrap_or(0);
            let millidegrees =
                str::from_utf8(&text[..len]).ok().and_then(|text| text.trim().parse::<i32>().ok());
            self.celsius = millidegrees.map(|millidegrees| millidegrees as f32 / 1000.0);
        }
        self.celsius
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_the_processor_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Thermometer::at(folder.path()).is_none());
        assert!(Thermometer::at(&folder.path().join("missing")).is_none());
        for (zone, kind, temp) in
            [("thermal_zone0", "gpu-thermal", "1000"), ("thermal_zone1", "cpu-thermal", "51540\n")]
        {
            let zone = folder.path().join(zone);
            fs::create_dir(&zone).unwrap();
            fs::write(zone.join("type"), kind).unwrap();
            fs::write(zone.join("temp"), temp).unwrap();
        }
        assert_eq!(Thermometer::at(folder.path()).unwrap().celsius(), Some(51.54));
        fs::write(folder.path().join("thermal_zone1/temp"), "?").unwrap();
        assert_eq!(Thermometer::at(folder.path()).unwrap().celsius(), None);
    }
}
