//! Signals that end the program: Ctrl-C, and those of service managers and closed terminals.
//!
//! Where nobody [watches](watch), they end it as they end any program. On Linux, a watching thread first removes the temporary files,
//! and then ends the program by the same signal, so that a shell or a service manager sees what happened.

#[cfg(not(target_os = "linux"))]
pub(crate) fn watch() -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
pub(crate) use linux::is_ignored;
#[cfg(target_os = "linux")]
pub(crate) use linux::{stop_first, watch};

#[cfg(target_os = "linux")]
mod linux {
    use crate::files::temporary;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
    use std::thread;

    /// The signals that end a program, and which it may handle.
    const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

    /// The flag that stops the program in an orderly way, if the verb has one.
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

    /// Lets the first Ctrl-C or SIGTERM set `stop` only. A second one ends the program.
    pub(crate) fn stop_first(stop: Arc<AtomicBool>) -> io::Result<()> {
        STOP.get_or_init(|| stop);
        watch()
    }

    /// Starts the thread that handles signals, if it does not run yet.
    pub(crate) fn watch() -> io::Result<()> {
        static WATCHED: Mutex<bool> = Mutex::new(false);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*watched {
            start()?;
            *watched = true;
        }
        Ok(())
    }

    fn start() -> io::Result<()> {
        // A signal that is ignored from the start is meant to be, as SIGHUP is by nohup. But a program that one can only stop, such as
        // in the background of a script, where shells ignore SIGINT, listens.
        let is_wanted = |signal: &i32| stops(*signal).is_some() || !is_ignored(*signal);
        let wanted: Vec<_> = ENDING.into_iter().filter(is_wanted).collect();
        let (started, answer) = mpsc::channel();
        // The signals are caught in the thread, because a signal that is caught must have somebody to handle it.
        thread::Builder::new().name("signals".to_owned()).spawn(move || match Signals::new(wanted) {
            Ok(mut signals) => {
                let _ = started.send(Ok(()));
                signals.forever().for_each(handle);
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        })?;
        answer.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that waits for them ended")))
    }

    /// Returns the flag that `signal` sets, if it only stops the program the first time.
    fn stops(signal: i32) -> Option<&'static AtomicBool> {
        STOP.get().filter(|_| signal != SIGHUP).map(Arc::as_ref)
    }

    fn handle(signal: i32) {
        if stops(signal).is_some_and(|stop| !stop.swap(true, Ordering::Relaxed)) {
            return;
        }
        // Until the end, no file is made or renamed.
        let _held = temporary::remove_all();
        let _ = emulate_default_handler(signal);
    }

    /// Returns whether this process ignores `signal`.
    pub(crate) fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        ignored(&status) & (1 << (signal - 1)) != 0
    }

    /// Returns the ignored signals as the bits of a mask, from the text of `/proc/self/status`.
    fn ignored(status: &str) -> u64 {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn ignored_signals_are_read() {
            assert_eq!(ignored("Name:\tx\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001001\n"), 0x1001);
            assert_eq!(ignored("SigIgn:\tnone\n"), 0);
            assert_eq!(ignored(""), 0);
        }
    }
}
