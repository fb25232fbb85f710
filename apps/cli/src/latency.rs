//! Timing several networks side by side.

use crate::error::Error;
use std::time::{Duration, Instant};

/// Inferences before timing starts.
const WARMUP: u32 = 3;

/// Times `runs` calls of each network, in turn, so that a change of the machine's speed meets all alike.
pub(crate) fn interleaved(
    runs: u32,
    networks: &mut [&mut dyn FnMut() -> Result<(), Error>],
) -> Result<Vec<Vec<Duration>>, Error> {
    let mut times: Vec<Vec<Duration>> = networks.iter().map(|_| Vec::with_capacity(runs as usize)).collect();
    for run in 0..WARMUP + runs {
        for (network, times) in networks.iter_mut().zip(&mut times) {
            let start = Instant::now();
            network()?;
            let time = start.elapsed();
            if run >= WARMUP {
                times.push(time);
            }
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_run_in_turn() {
        let calls = std::cell::RefCell::new(String::new());
        let call = |name| {
            calls.borrow_mut().push(name);
            Ok(())
        };
        let times = interleaved(2, &mut [&mut || call('a'), &mut || call('b')]).unwrap();
        assert_eq!(calls.borrow().as_str(), "ab".repeat(5));
        assert_eq!(times.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert!(interleaved(1, &mut [&mut || Err(Error::new("a", "broken; mend it"))]).is_err());
    }
}
