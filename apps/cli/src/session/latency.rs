//! Timing several networks side by side.

use crate::machine::load::{Load, Spread, Watch};
use crate::session::statistics::milliseconds;
use crate::terminal::Error;
use crate::terminal::text::plural;
use resnext::{Kernels, Model, RunError, Runner};
use resnext_report::{Latency, speed};
use std::time::{Duration, Instant};

/// Inferences that warm up before timing starts.
const WARMUP: u32 = 3;

/// One inference of a network.
pub(crate) type Call<'a> = dyn FnMut() -> Result<(), Error> + 'a;

/// How often to time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runs {
    /// Exactly this many times.
    Exactly(u32),
    /// At most this many times; fewer if the network takes seconds.
    AtMost(u32),
}

impl Runs {
    /// Enough for a median.
    pub(crate) const FEW: Self = Self::AtMost(10);

    /// Enough for a histogram.
    pub(crate) const MANY: Self = Self::AtMost(50);

    /// How long [`AtMost`](Self::AtMost) may take.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn most(self) -> u32 {
        match self {
            Self::Exactly(runs) | Self::AtMost(runs) => runs,
        }
    }

    fn enough(self, taken: Duration) -> bool {
        matches!(self, Self::AtMost(_)) && taken > Self::PATIENCE
    }
}

/// Times the networks in turn, so that a change in the machine's speed affects all of them alike.
pub(crate) fn interleaved(runs: Runs, networks: &mut [&mut Call<'_>]) -> Result<Vec<Vec<Duration>>, Error> {
    let most = (WARMUP + runs.most()) as usize;
    let mut times: Vec<Vec<Duration>> = networks.iter().map(|_| Vec::with_capacity(most)).collect();
    let begin = Instant::now();
    for run in 0..most {
        if run > 1 && runs.enough(begin.elapsed()) {
            break;
        }
        for (network, times) in networks.iter_mut().zip(&mut times) {
            let start = Instant::now();
            network()?;
            times.push(start.elapsed());
        }
    }
    // The first runs warmed up. If there were only a few slow ones, the last one has to do.
    times
        .iter_mut()
        .for_each(|times| drop(times.drain(..(WARMUP as usize).min(times.len().saturating_sub(1)))));
    Ok(times)
}

/// Returns the same pixels on every machine and in every version. They are noise, so that no kernel gets an easy case.
pub(crate) fn fixed_pixels(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        // The linear congruential generator of Numerical Recipes. Its high byte is the most random one.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// What was timed, and what makes it doubtful.
pub(crate) struct Timed {
    pub(crate) latency: Vec<Latency>,
    pub(crate) warnings: Vec<String>,
}

/// Times `model`, in turn with the fp32 network if there is one, on one thread each. `load` is that of the machine before this
/// program began to work.
pub(crate) fn compare(
    model: &Model<'_>,
    fp32: Option<&mut Call<'_>>,
    runs: Runs,
    load: Option<Load>,
) -> Result<Timed, Error> {
    let failed = |error: RunError| Error::new("", error);
    let input = model.input();
    let pixels = fixed_pixels(input.pixels() * input.channels);
    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; model.class_count()]);
    let mut runner = Runner::new(model, &mut arena).map_err(failed)?;
    let mut int8 = || {
        runner.load_pixels(&pixels).map_err(failed)?;
        runner.infer(&mut logits).map_err(failed)
    };
    let (mut networks, mut names): (Vec<&mut Call<'_>>, _) = (Vec::new(), Vec::new());
    if let Some(fp32) = fp32 {
        networks.push(fp32);
        names.push((FP32.to_owned(), false));
    }
    networks.push(&mut int8);
    names.push((format!("int8 ({})", Kernels::detect().isa()), true));
    let watch = Watch::start(load, 1);
    let times = interleaved(runs, &mut networks)?;
    let latency = |((network, int8), times): ((String, bool), Vec<Duration>)| Latency {
        network,
        int8,
        threads: 1,
        ms: times.into_iter().map(milliseconds).collect(),
    };
    let latency: Vec<Latency> = names.into_iter().zip(times).map(latency).collect();
    let spreads: Vec<Spread<'_>> = latency.iter().filter_map(spread).collect();
    let disturbed = watch.finish(&spreads);
    let warnings = disturbed.into_iter().chain(slower_than_fp32(&latency)).collect();
    Ok(Timed { latency, warnings })
}

/// Returns how the times of a network vary.
fn spread(latency: &Latency) -> Option<Spread<'_>> {
    let Latency { network, ms, .. } = latency;
    let mut sorted = ms.clone();
    sorted.sort_by(f64::total_cmp);
    let p90 = *sorted.get((sorted.len() * 90).div_ceil(100).checked_sub(1)?)?;
    Some(Spread { network, min: *sorted.first()?, p90 })
}

/// The name of the fp32 baseline.
pub(crate) const FP32: &str = "fp32 (tract)";

/// Returns the result of [`compare`] as one line for people.
pub(crate) fn text(measured: &[Latency]) -> Option<String> {
    let int8 = measured.iter().find(|latency| latency.int8)?;
    let runs = int8.ms.len();
    let ms = int8.median()?;
    let fp32 = measured.iter().find(|latency| !latency.int8).and_then(|fp32| Some((fp32, fp32.median()?)));
    let beside = fp32.map_or_else(String::new, |(fp32, slow)| {
        format!(", {}, {slow:.2} ms", speed(slow / ms, &fp32.network))
    });
    Some(format!("{} {ms:.2} ms{beside} (1 thread, median of {runs} run{})", int8.network, plural(runs)))
}

/// Returns a warning if int8 took longer than fp32. In that case int8 costs accuracy and gains nothing.
fn slower_than_fp32(measured: &[Latency]) -> Option<String> {
    let of = |int8: bool| measured.iter().find(|latency| latency.int8 == int8);
    let (int8, fp32) = (of(true)?, of(false)?);
    slower((&int8.network, int8.median()?), (&fp32.network, fp32.median()?))
}

/// Returns the same warning for two medians in milliseconds.
pub(crate) fn slower(int8: (&str, f64), fp32: (&str, f64)) -> Option<String> {
    if int8.1 <= fp32.1 {
        return None;
    }
    let [int8, fp32] = [int8, fp32].map(|(network, ms)| format!("{network} {ms:.2} ms"));
    Some(format!(
        "int8 is slower than fp32 here ({int8}, {fp32}); find the slow layers with resnext bench --profile, and check the \
         machine with resnext doctor"
    ))
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
        let times = interleaved(Runs::Exactly(2), &mut [&mut || call('a'), &mut || call('b')]).unwrap();
        assert_eq!(calls.borrow().as_str(), "ab".repeat(5));
        assert_eq!(times.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert!(
            interleaved(Runs::Exactly(1), &mut [&mut || Err(Error::new("a", "broken; fix it"))]).is_err()
        );
    }

    #[test]
    fn the_input_never_changes() {
        assert_eq!(fixed_pixels(6), [60, 94, 129, 180, 12, 94]);
    }

    #[test]
    fn int8_slower_than_fp32_is_worth_a_warning() {
        let latency =
            |network: &str, int8, ms| Latency { network: network.into(), int8, threads: 1, ms: vec![ms; 3] };
        let both = |ms| [latency(FP32, false, 20.0), latency("int8 (scalar)", true, ms)];
        assert_eq!(slower_than_fp32(&both(20.0)), None);
        assert_eq!(
            slower_than_fp32(&both(25.0)).as_deref(),
            Some(
                "int8 is slower than fp32 here (int8 (scalar) 25.00 ms, fp32 (tract) 20.00 ms); find the slow layers \
                 with resnext bench --profile, and check the machine with resnext doctor"
            )
        );
        assert_eq!(slower_than_fp32(&both(25.0)[1..]), None);
        assert_eq!(
            text(&both(8.0)).as_deref(),
            Some(
                "int8 (scalar) 8.00 ms, 2.5× faster than fp32 (tract), 20.00 ms (1 thread, median of 3 runs)"
            )
        );
        assert_eq!(
            text(&both(8.0)[1..]).as_deref(),
            Some("int8 (scalar) 8.00 ms (1 thread, median of 3 runs)")
        );
        assert_eq!(text(&[]), None);
    }
}
