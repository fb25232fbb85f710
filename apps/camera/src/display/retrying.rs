//! Retries a display that fails, for example because of a full disk or a loose cable.

use crate::reading::{Picture, Reading, Show, ShowError};
use core::fmt;
use std::time::{Duration, Instant};

/// The pause after the first failure. Each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. Longer ones would leave a display dark for too long after it recovers.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Retries another [`Show`], so that a failing display ends neither the pipeline nor the other displays.
///
/// A failure and the recovery from it are reported once. Retries use later frames, after pauses that double from a second to a
/// minute. [`ShowError::Closed`] is passed on, because nobody is left to retry for. This is for displays of pictures: only a
/// display that has shown a picture counts as recovered.
pub struct Retrying<S> {
    show: S,
    report: Box<dyn FnMut(Trouble<'_>) + Send>,
    first_pause: Duration,
    failing: Option<Failing>,
}

/// A change in the state of a display.
#[derive(Clone, Copy, Debug)]
pub enum Trouble<'a> {
    /// It fails, or fails for another reason than before.
    Begins(&'a ShowError),
    /// It works again.
    Ends {
        /// The subject of the last failure.
        subject: &'a str,
    },
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins(error) => write!(f, "{error}; trying again"),
            Self::Ends { subject } => write!(f, "{subject}: works again"),
        }
    }
}

/// The state of a display that has failed and not recovered.
#[derive(Debug)]
struct Failing {
    subject: String,
    what: String,
    pause: Duration,
    again: Instant,
}

impl<S: Show> Retrying<S> {
    /// Retries `show`. Changes of its state are passed to `report`, on the thread that shows.
    pub fn new(show: S, report: impl FnMut(Trouble<'_>) + Send + 'static) -> Self {
        Self { show, report: Box::new(report), first_pause: FIRST_PAUSE, failing: None }
    }

    fn pausing(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| Instant::now() < failing.again)
    }

    fn failed(&mut self, subject: String, what: String) {
        let before = self.failing.take();
        let news = before.as_ref().is_none_or(|before| before.subject != subject || before.what != what);
        let pause = before.map_or(self.first_pause, |before| (2 * before.pause).min(LONGEST_PAUSE));
        let error = ShowError::Failed { subject, what };
        if news {
            (self.report)(Trouble::Begins(&error));
        }
        if let ShowError::Failed { subject, what } = error {
            self.failing = Some(Failing { subject, what, pause, again: Instant::now() + pause });
        }
    }
}

impl<S: Show> Show for Retrying<S> {
    fn wants_picture(&self) -> bool {
        !self.pausing() && self.show.wants_picture()
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let wants_picture = self.show.wants_picture();
        // The pause may have ended after the display was asked for a picture. Without one, it would draw a black frame.
        if self.failing.is_some() && (self.pausing() || wants_picture && picture.is_none()) {
            return Ok(());
        }
        match self.show.show(reading, picture) {
            Err(ShowError::Failed { subject, what }) => self.failed(subject, what),
            Err(ShowError::Closed) => return Err(ShowError::Closed),
            Ok(()) if wants_picture => {
                if let Some(failing) = self.failing.take() {
                    (self.report)(Trouble::Ends { subject: &failing.subject });
                }
            }
            Ok(()) => {}
        }
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for Retrying<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying")
            .field("show", &self.show)
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Health;
    use std::sync::{Arc, Mutex};

    /// A display that fails on demand. It counts the pictures and the black frames.
    #[derive(Debug)]
    struct Fake {
        wants: bool,
        fails: Option<&'static str>,
        pictures: u32,
        black: u32,
    }

    impl Show for Fake {
        fn wants_picture(&self) -> bool {
            self.wants
        }

        fn show(&mut self, _: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
            match picture {
                Some(_) => self.pictures += 1,
                None => self.black += 1,
            }
            match self.fails {
                Some("closed") => Err(ShowError::Closed),
                Some(what) => Err(ShowError::Failed { subject: "fake".to_owned(), what: what.to_owned() }),
                None => Ok(()),
            }
        }
    }

    fn retrying() -> (Retrying<Fake>, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let fake = Fake { wants: true, fails: None, pictures: 0, black: 0 };
        (Retrying::new(fake, move |news| telling.lock().unwrap().push(news.to_string())), told)
    }

    /// Asks for a picture and then shows one, as the pipeline does.
    fn show(display: &mut Retrying<Fake>) -> Result<(), ShowError> {
        let wanted = display.wants_picture();
        shown(display, wanted)
    }

    fn shown(display: &mut Retrying<Fake>, with_picture: bool) -> Result<(), ShowError> {
        let reading = Reading {
            frame: 0,
            model: "m",
            top: &[],
            latency_ms: 0.0,
            inference_ms: 0.0,
            fps: 0.0,
            dropped: 0,
            health: Health::default(),
        };
        let picture = Picture { width: 1, height: 1, rgb: &[0; 3] };
        display.show(&reading, with_picture.then_some(&picture))
    }

    /// Checks that the pause takes `seconds`, and ends it.
    fn wait(display: &mut Retrying<Fake>, seconds: u64) {
        let failing = display.failing.as_mut().unwrap();
        assert_eq!(failing.pause, Duration::from_secs(seconds));
        assert!(failing.again > Instant::now(), "it pauses");
        failing.again = Instant::now();
    }

    #[test]
    fn failures_are_told_once_and_tried_again_after_pauses_that_double() {
        let (mut display, told) = retrying();
        show(&mut display).unwrap();
        display.show.fails = Some("is full; empty it");
        for (failures, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            for _ in 0..10 {
                show(&mut display).unwrap();
            }
            assert!(!display.wants_picture(), "no picture is converted for nothing");
            assert_eq!(display.show.pictures, 1 + failures);
            wait(&mut display, pause);
        }
        display.show.fails = Some("is gone; find it");
        show(&mut display).unwrap();
        wait(&mut display, 60);
        display.show.fails = None;
        show(&mut display).unwrap();
        show(&mut display).unwrap();
        let expected = [
            "fake: is full; empty it; trying again",
            "fake: is gone; find it; trying again",
            "fake: works again",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
        // A later failure starts with a short pause.
        display.show.fails = Some("is full; empty it");
        show(&mut display).unwrap();
        wait(&mut display, 1);
        assert_eq!(told.lock().unwrap().len(), 4);
        assert_eq!(display.show.black, 0);
    }

    #[test]
    fn a_trial_has_its_picture_and_shows_something() {
        let (mut display, told) = retrying();
        display.show.fails = Some("is full; empty it");
        show(&mut display).unwrap();
        display.show.fails = None;
        let wanted = display.wants_picture();
        wait(&mut display, 1);
        // The display was asked during the pause and shows a frame after it.
        shown(&mut display, wanted).unwrap();
        assert_eq!((display.show.pictures, display.show.black), (1, 0));
        // A reading without a picture does not prove that the display has recovered.
        display.show.wants = false;
        show(&mut display).unwrap();
        assert_eq!(told.lock().unwrap().len(), 1);
        display.show.wants = true;
        show(&mut display).unwrap();
        assert_eq!(told.lock().unwrap().last().unwrap(), "fake: works again");
    }

    #[test]
    fn an_end_is_passed_on() {
        let (mut display, told) = retrying();
        display.show.fails = Some("closed");
        assert!(matches!(show(&mut display), Err(ShowError::Closed)));
        assert!(told.lock().unwrap().is_empty());
    }
}
