use super::*;
use crate::machine::sysfs::Fake;

/// Sets the temperature of a board, and its clock and limit in MHz. Its fastest clock is 2400 MHz.
fn set(fake: &Fake, celsius: u32, mhz: u32, limit: u32) {
    fake.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal");
    fake.write("sys/class/thermal/thermal_zone0/temp", celsius * 1000);
    let clocks = [("scaling_cur_freq", mhz), ("scaling_max_freq", limit), ("cpuinfo_max_freq", 2400)];
    for (file, clock) in clocks {
        fake.write(&format!("sys/devices/system/cpu/cpu0/cpufreq/{file}"), clock * 1000);
    }
}

/// Records ten inferences each second. `ms` gives their duration and `look` changes the board, both by the second.
fn run(
    fake: &Fake,
    seconds: u64,
    ms: impl Fn(u64) -> u64,
    look: impl Fn(u64),
) -> (u64, Milliseconds, Sustained) {
    let sysfs = crate::machine::sysfs::Sysfs::at(&fake.root().join("sys"));
    let board = Board::on(&sysfs, &[0].into_iter().collect());
    let mut recorder = Recorder::on(board, Duration::from_secs(seconds));
    recorder.watched = false;
    for tenth in 1..=10 * seconds {
        let second = (tenth - 1) / 10;
        if tenth % 10 == 1 {
            look(second);
        }
        recorder.record_at(Duration::from_millis(100 * tenth), Duration::from_millis(ms(second)));
    }
    recorder.finish()
}

#[test]
fn a_board_that_stays_cool() {
    let fake = Fake::new();
    set(&fake, 50, 2400, 2400);
    let (runs, ms, sustained) = run(&fake, 300, |_| 20, |_| {});
    assert_eq!(runs, 3000);
    assert!((ms.p50 - 20.0).abs() < 0.02 && (ms.min - 20.0).abs() < 0.02 && ms.p99 >= ms.p50);
    assert_eq!((sustained.throttled, sustained.since_s, sustained.slowdown), (false, None, Some(0.0)));
    assert_eq!((sustained.series.len(), sustained.rows.len()), (60, 12));
    assert!(sustained.series.iter().all(|stretch| (49..=51).contains(&stretch.runs)));
    assert_eq!(sustained.series.iter().map(|stretch| stretch.runs).sum::<u64>(), 3000);
    assert_eq!(sustained.rows.iter().map(|stretch| stretch.runs).sum::<u64>(), 3000);
    assert_eq!((sustained.series[30].t_s, sustained.series[30].mhz), (150.0, Some(2400)));
    let verdict = sustained.verdict();
    assert!(verdict.starts_with("did not throttle; p50 20.0"), "{verdict}");
    assert!(verdict.ends_with(" in the last (+0.0 %)"), "{verdict}");
}

#[test]
fn the_kernel_limits_the_clock() {
    let fake = Fake::new();
    let hot = |second| second >= 150;
    let look = |second: u64| match hot(second) {
        false => set(&fake, 50 + second as u32 / 5, 2400, 2400),
        true => set(&fake, 85, 1800, 1800),
    };
    look(0);
    let (.., sustained) = run(&fake, 300, |second| if hot(second) { 28 } else { 20 }, look);
    assert!(sustained.throttled);
    assert_eq!(sustained.since_s, Some(150.0));
    assert_eq!(sustained.cause.as_deref(), Some("the kernel limited the clock to 1.80 GHz"));
    assert!((sustained.slowdown.unwrap() - 0.4).abs() < 0.01);
    let verdict = sustained.verdict();
    assert!(verdict.starts_with("throttled from 2:30 on (the kernel limited"), "{verdict}");
    let text = sustained.to_string();
    assert!(text.contains("\n2:30 ") && text.contains("limit 1.80 GHz") && text.contains(" 85.0"), "{text}");
    assert!(text.contains("50.0 to 85.0 °C") && text.contains("1.80 to 2.40 GHz"), "{text}");
}

#[test]
fn hardware_lowers_the_clock_by_itself() {
    let fake = Fake::new();
    let look = |second: u64| set(&fake, 90, if second < 200 { 2400 } else { 2000 }, 2400);
    look(0);
    let (.., sustained) = run(&fake, 300, |second| if second < 200 { 20 } else { 24 }, look);
    assert_eq!(sustained.cause.as_deref(), Some("the clock fell from 2.40 to 2.00 GHz"));
    assert_eq!(sustained.since_s, Some(200.0));
    // If inferences take no longer, the governor lowered the clock.
    let (.., sustained) = run(&fake, 300, |_| 20, look);
    assert!(!sustained.throttled, "{}", sustained.verdict());
}

#[test]
fn firmware_that_came_and_went_is_seen() {
    let fake = Fake::new();
    set(&fake, 60, 2400, 2400);
    let flags = |flags: &str| fake.write("sys/devices/platform/soc/soc:firmware/get_throttled", flags);
    flags("50000");
    let look = |second: u64| flags(if second < 100 { "50000" } else { "d0000" });
    let (.., sustained) = run(&fake, 300, |_| 20, look);
    assert_eq!(sustained.since_s, Some(100.0));
    let cause = "the firmware slowed the CPU down: soft temperature limit";
    assert_eq!(sustained.cause.as_deref(), Some(cause));
    let json = serde_json::to_value(&sustained).unwrap();
    assert_eq!(json["series"][19]["throttled"], serde_json::json!([]));
    assert_eq!(json["series"][20]["throttled"], serde_json::json!(["soft temperature limit"]));
    assert_eq!(json["series"][21]["throttled"], serde_json::json!([]));
}

#[test]
fn a_limit_from_the_beginning_is_not_throttling() {
    let fake = Fake::new();
    set(&fake, 50, 1500, 1500);
    let (.., sustained) = run(&fake, 60, |_| 20, |_| {});
    assert!(!sustained.throttled, "{}", sustained.verdict());
    assert_eq!(sustained.series[0].limit_mhz, Some(1500));
}

#[test]
fn slower_for_no_reason_that_shows() {
    let fake = Fake::new();
    let (.., sustained) = run(&fake, 60, |second| if second < 30 { 20 } else { 25 }, |_| {});
    assert_eq!((sustained.throttled, sustained.since_s), (false, Some(30.0)));
    assert!(sustained.verdict().starts_with("slower from 0:30 on, but without"), "{}", sustained.verdict());
    let (.., steady) = run(&fake, 60, |_| 20, |_| {});
    assert!(
        steady.verdict().ends_with("this machine reports neither temperature nor clock"),
        "{}",
        steady.verdict()
    );
}

#[test]
fn inferences_slower_than_a_point() {
    let fake = Fake::new();
    let sysfs = crate::machine::sysfs::Sysfs::at(fake.root());
    let mut recorder = Recorder::on(Board::on(&sysfs, &[0].into_iter().collect()), Duration::from_secs(10));
    recorder.watched = false;
    recorder.record_at(Duration::from_secs(70), Duration::from_secs(70));
    let (runs, ms, sustained) = recorder.finish();
    assert_eq!((runs, sustained.series.len()), (1, 60));
    assert!((ms.p50 - 70_000.0).abs() < 70.0);
    assert_eq!(sustained.series.iter().filter(|stretch| stretch.p50_ms.is_some()).count(), 1);
    assert!(sustained.verdict().starts_with("too few inferences"), "{}", sustained.verdict());
    assert!(sustained.to_string().contains('-'));
}

#[test]
fn lengths() {
    assert_eq!(parse_length("5m"), Ok(Duration::from_secs(300)));
    assert_eq!(parse_length("1h 30m"), Ok(Duration::from_secs(5400)));
    for text in ["", "5", "0s", "25h", "-5m", "5 parsecs", "999999999999999999999h"] {
        assert!(parse_length(text).is_err(), "{text}");
    }
}

#[test]
fn clocks_in_words() {
    let clocks = [0, 59, 61, 3600, 86_399].map(|seconds| Clock(Duration::from_secs(seconds)).to_string());
    assert_eq!(clocks, ["0:00", "0:59", "1:01", "1:00:00", "23:59:59"]);
}
