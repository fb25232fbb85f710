//! Panels on a board's SPI pins: ST7789 and ILI9341, through `mipidsi` and the kernel's spidev and GPIO devices.

mod settings;

pub use settings::{Controller, Settings, SettingsError};

use super::panel::Panel;
use crate::reading::Show;
use embedded_graphics::pixelcolor::Rgb565;
use embedded_hal::digital::OutputPin;
use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{CdevPin, Delay, SpidevDevice};
use mipidsi::Builder;
use mipidsi::interface::SpiInterface;
use mipidsi::models::{ILI9341Rgb565, Model, ST7789};
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation};
use std::path::Path;

type Interface = SpiInterface<'static, SpidevDevice, CdevPin>;

/// Bytes that spidev takes at once by default (`spidev.bufsiz`).
const TRANSFER: usize = 4096;

/// Why a panel cannot be used. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The SPI bus cannot be opened.
    #[error("{0}: cannot be opened: {1}; enable SPI (sudo raspi-config nonint do_spi 0) and join group spi")]
    Bus(String, String),
    /// A GPIO line cannot be used.
    #[error("{0}: line {1} cannot be used: {2}; choose a free one (gpioinfo) and join group gpio")]
    Pin(String, u32, String),
    /// The panel cannot be set up.
    #[error("panel: cannot be set up: {0}; check its size and wiring")]
    Panel(String),
}

/// Sets up a panel and switches on its backlight.
///
/// # Errors
///
/// Returns an error if the bus or a pin cannot be used, or writing to the panel fails. A missing panel is not noticed, because
/// panels never answer.
pub fn open(settings: &Settings) -> Result<Box<dyn Show + Send>, OpenError> {
    match settings.controller {
        Controller::St7789 => open_as(ST7789, settings),
        Controller::Ili9341 => open_as(ILI9341Rgb565, settings),
    }
}

fn open_as<M>(model: M, settings: &Settings) -> Result<Box<dyn Show + Send>, OpenError>
where
    M: Model<ColorFormat = Rgb565> + Send + 'static,
{
    let bus_failed = |error: String| OpenError::Bus(settings.device.display().to_string(), error);
    let mut bus = SpidevDevice::open(&settings.device).map_err(|error| bus_failed(error.to_string()))?;
    let options = SpidevOptions::new()
        .bits_per_word(8)
        .max_speed_hz(settings.hertz)
        .mode(SpiModeFlags::SPI_MODE_0)
        .build();
    bus.configure(&options).map_err(|error| bus_failed(error.to_string()))?;
    let pin = |line, level| output(&settings.chip, line, level);
    // The interface borrows its buffer for `'static`, because a panel is used until the program ends.
    let buffer = Box::leak(Box::new([0; TRANSFER]));
    let interface = SpiInterface::new(bus, pin(settings.command, 0)?, buffer);
    let rotation = Rotation::try_from_degree(settings.rotation.into()).unwrap_or(Rotation::Deg0);
    let (width, height) = settings.size;
    let builder = Builder::new(model, interface)
        .display_size(width, height)
        .display_offset(settings.offset.0, settings.offset.1)
        .orientation(Orientation::new().rotate(rotation))
        .color_order(if settings.bgr { ColorOrder::Bgr } else { ColorOrder::Rgb })
        .invert_colors(if settings.inverted { ColorInversion::Inverted } else { ColorInversion::Normal });
    // The panel shows noise until the first frame, but a dark panel would say less about a problem.
    let _backlight = settings.backlight.map(|line| pin(line, 1)).transpose()?;
    match settings.reset {
        Some(line) => initialise(builder.reset_pin(pin(line, 1)?)),
        None => initialise(builder),
    }
}

/// Initialises the panel.
fn initialise<M, R>(builder: Builder<Interface, M, R>) -> Result<Box<dyn Show + Send>, OpenError>
where
    M: Model<ColorFormat = Rgb565> + Send + 'static,
    R: OutputPin + Send + 'static,
{
    let display = builder.init(&mut Delay).map_err(|error| OpenError::Panel(format!("{error:?}")))?;
    Ok(Box::new(Panel::new(display)))
}

/// Requests a GPIO line as an output.
fn output(chip: &Path, line: u32, level: u8) -> Result<CdevPin, OpenError> {
    let open = || {
        let handle = Chip::new(chip)?.get_line(line)?.request(LineRequestFlags::OUTPUT, level, "resnext")?;
        CdevPin::new(handle)
    };
    open().map_err(|error| OpenError::Pin(chip.display().to_string(), line, error.to_string()))
}
