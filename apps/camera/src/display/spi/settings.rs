//! The wiring of a panel, and its description as text.

use std::path::PathBuf;
use std::str::FromStr;

/// The chip that drives a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Sitronix ST7789: most panels of 240×240 and 240×320.
    St7789,
    /// Ilitek ILI9341: most panels of 240×320.
    Ili9341,
}

/// The wiring of a panel.
///
/// The text is `DEVICE,CONTROLLER,WIDTHxHEIGHT,dc=LINE` and optionally `reset=LINE`, `backlight=LINE`, `rotate=90`, `hz=32000000`,
/// `offset=X+Y`, `chip=/dev/gpiochip0`, `bgr`, `rgb`, `invert`, `normal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The SPI device, such as `/dev/spidev0.0`.
    pub device: PathBuf,
    /// The chip that drives the panel.
    pub controller: Controller,
    /// Width and height in pixels, before rotation.
    pub size: (u16, u16),
    /// Position of the panel in the memory of the controller.
    pub offset: (u16, u16),
    /// GPIO line that selects data or command.
    pub command: u32,
    /// GPIO line that resets the panel.
    pub reset: Option<u32>,
    /// GPIO line of the backlight.
    pub backlight: Option<u32>,
    /// The device of the GPIO lines.
    pub chip: PathBuf,
    /// Clockwise rotation in degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Clock rate of the bus.
    pub hertz: u32,
    /// Whether blue comes first.
    pub bgr: bool,
    /// Whether colours are inverted, as on IPS panels.
    pub inverted: bool,
}

/// What is wrong with the description of a panel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A part is missing.
    #[error(
        "{0} is missing; write DEVICE,st7789|ili9341,WIDTHxHEIGHT,dc=LINE, such as /dev/spidev0.0,st7789,240x240,dc=25"
    )]
    Missing(&'static str),
    /// A part is invalid.
    #[error("{0:?} is not {1}")]
    Part(String, &'static str),
}

impl FromStr for Settings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let mut parts = text.split(',').map(str::trim);
        let device = parts.next().filter(|device| !device.is_empty());
        let device = device.ok_or(SettingsError::Missing("the device"))?.into();
        let controller = match parts.next().ok_or(SettingsError::Missing("the controller"))? {
            "st7789" => Controller::St7789,
            "ili9341" => Controller::Ili9341,
            other => return Err(wrong(other, "a controller: st7789 or ili9341")),
        };
        let size = parts.next().ok_or(SettingsError::Missing("the size"))?;
        let (width, height) = pair(size, 'x')
            .filter(|&(width, height)| (1..=240).contains(&width) && (1..=320).contains(&height))
            .ok_or_else(|| wrong(size, "a size of at most 240x320"))?;
        let ips = controller == Controller::St7789;
        let mut settings = Self {
            device,
            controller,
            size: (width, height),
            offset: (0, 0),
            command: u32::MAX,
            reset: None,
            backlight: None,
            chip: "/dev/gpiochip0".into(),
            rotation: 0,
            hertz: 32_000_000,
            bgr: !ips,
            inverted: ips,
        };
        for part in parts {
            settings.set(part)?;
        }
        if settings.command == u32::MAX {
            return Err(SettingsError::Missing("dc=LINE"));
        }
        Ok(settings)
    }
}

impl Settings {
    fn set(&mut self, part: &str) -> Result<(), SettingsError> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let line = || {
            let line = value.parse().ok().filter(|&line| line < 1024);
            line.ok_or_else(|| wrong(part, "a GPIO line, such as dc=25"))
        };
        match name {
            "dc" => self.command = line()?,
            "reset" => self.reset = Some(line()?),
            "backlight" => self.backlight = Some(line()?),
            "chip" => self.chip = value.into(),
            "rotate" => {
                let turn = value.parse().ok().filter(|turn| [0, 90, 180, 270].contains(turn));
                self.rotation = turn.ok_or_else(|| wrong(part, "rotate=0, 90, 180 or 270"))?;
            }
            "hz" => {
                let hertz = value.parse().ok().filter(|hz| (100_000..=125_000_000).contains(hz));
                self.hertz = hertz.ok_or_else(|| wrong(part, "hz=100000 to 125000000"))?;
            }
            "offset" => {
                let offset = pair(value, '+').filter(|&(x, y)| {
                    x.checked_add(self.size.0).is_some_and(|end| end <= 240)
                        && y.checked_add(self.size.1).is_some_and(|end| end <= 320)
                });
                self.offset = offset.ok_or_else(|| wrong(part, "offset=X+Y within 240x320"))?;
            }
            "bgr" if value.is_empty() => self.bgr = true,
            "rgb" if value.is_empty() => self.bgr = false,
            "invert" if value.is_empty() => self.inverted = true,
            "normal" if value.is_empty() => self.inverted = false,
            _ => {
                let known = "one of dc= reset= backlight= chip= rotate= hz= offset= bgr rgb invert normal";
                return Err(wrong(part, known));
            }
        }
        Ok(())
    }
}

fn wrong(part: &str, what: &'static str) -> SettingsError {
    SettingsError::Part(part.to_owned(), what)
}

fn pair(text: &str, between: char) -> Option<(u16, u16)> {
    let (first, second) = text.split_once(between)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Settings>().unwrap_err().to_string()
    }

    #[test]
    fn a_panel_in_one_line() {
        let hat: Settings =
            "/dev/spidev0.1,st7789,240x240,dc=9,backlight=13,rotate=90,offset=0+80".parse().unwrap();
        let expected = Settings {
            device: "/dev/spidev0.1".into(),
            controller: Controller::St7789,
            size: (240, 240),
            offset: (0, 80),
            command: 9,
            reset: None,
            backlight: Some(13),
            chip: "/dev/gpiochip0".into(),
            rotation: 90,
            hertz: 32_000_000,
            bgr: false,
            inverted: true,
        };
        assert_eq!(hat, expected);
        let other: Settings =
            "/dev/spidev1.0, ili9341, 240x320, dc=24, reset=25, hz=16000000, chip=/dev/gpiochip4, rgb, invert"
                .parse()
                .unwrap();
        assert_eq!((other.command, other.reset, other.hertz), (24, Some(25), 16_000_000));
        assert_eq!(other.chip, PathBuf::from("/dev/gpiochip4"));
        assert!(!other.bgr && other.inverted);
        let plain: Settings = "/dev/spidev1.0,ili9341,240x320,dc=24".parse().unwrap();
        assert!(plain.bgr && !plain.inverted);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error("").starts_with("the device is missing; write DEVICE"));
        assert!(error("/dev/spidev0.0,st7789,240x240").starts_with("dc=LINE is missing"));
        for (text, part) in [
            ("d,ssd1306,1x1,dc=1", "ssd1306"),
            ("d,st7789,320x240,dc=1", "320x240"),
            ("d,st7789,0x240,dc=1", "0x240"),
            ("d,st7789,240x240,dc=x", "dc=x"),
            ("d,st7789,240x240,dc=1,rotate=45", "rotate=45"),
            ("d,st7789,240x240,dc=1,hz=1", "hz=1"),
            ("d,st7789,240x240,dc=1,offset=65535+0", "offset=65535+0"),
            ("d,st7789,240x240,dc=1,bgr=1", "bgr=1"),
            ("d,st7789,240x240,dc=1,,", ""),
        ] {
            assert!(error(text).starts_with(&format!("{part:?} is not ")), "{text}: {}", error(text));
        }
    }
}
