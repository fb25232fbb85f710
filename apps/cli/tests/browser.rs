//! `resnext camera --serve` in a real browser, with photos from a pipe: the page changes with the frames, a click pauses it, and
//! it requests nothing from any other machine. The test needs Chromium, and CI must have it.
//!
//! `RESNEXT_SCREENSHOTS=DIR` keeps the screenshots.
#![cfg(target_os = "linux")]

mod support;

use resnext_testing::devtools::Browser;
use resnext_testing::networks::COLOURS;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::{Folder, command, reference_model};

/// Returns the photos of the repository. One after the other they are Motion JPEG.
fn photos() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../calibration/samples");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jpg"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// The program and its source: a new photo every half second, each repeated 20 times per second.
struct Camera {
    child: Child,
    url: String,
    over: Arc<AtomicBool>,
    feeder: Option<JoinHandle<()>>,
}

impl Camera {
    fn start(model: &Path, address: &str) -> Self {
        let mut command = command(&["camera", model.to_str().unwrap(), "-", "--serve", address]);
        command.args(["--smooth", "none", "--top-k", "5"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (stdin, stopped) = (child.stdin.take().unwrap(), Arc::clone(&over));
        let feeder = thread::spawn(move || feed(stdin, &stopped));
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .trim_end()
            .strip_prefix("resnext: preview at ")
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned();
        Self { child, url, over, feeder: Some(feeder) }
    }

    /// Ends the frames. Returns the exit status of the program.
    fn end(&mut self) -> Option<i32> {
        self.over.store(true, Ordering::Relaxed);
        self.feeder.take().unwrap().join().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn feed(mut stdin: ChildStdin, over: &AtomicBool) {
    for photo in photos().iter().cycle() {
        for _ in 0..10 {
            if over.load(Ordering::Relaxed) || stdin.write_all(photo).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Waits until `expression` is true in the page.
fn wait(browser: &mut Browser, expression: &str) {
    let start = Instant::now();
    while browser.evaluate(expression) != true {
        let seen = || "document.body.innerText";
        assert!(start.elapsed() < Duration::from_secs(30), "{expression} in\n{}", browser.evaluate(seen()));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Clicks with the mouse instead of calling the page's functions. The page is live, so an element may move before the mouse
/// arrives. Then, as people do, this clicks again.
fn click(browser: &mut Browser, selector: &str) {
    let aim = format!(
        "(e => {{ window.clicked = false; e.addEventListener('click', () => window.clicked = true, {{ once: true }}); \
         e.scrollIntoView({{ block: 'nearest' }}); const r = e.getBoundingClientRect(); \
         return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector('{selector}'))"
    );
    for _ in 0..10 {
        let middle = browser.evaluate(&aim);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let (button, count) = if kind == "mouseMoved" { ("none", 0) } else { ("left", 1) };
            let mouse = json!({ "type": kind, "x": middle[0], "y": middle[1], "button": button, "clickCount": count });
            browser.call("Input.dispatchMouseEvent", mouse);
        }
        if browser.evaluate("window.clicked") == true {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("{selector} cannot be clicked");
}

/// Returns the first label, the number of the frame and the colours of the picture.
fn seen(browser: &mut Browser) -> Value {
    browser.evaluate(
        "(() => { const picture = document.getElementById('picture'), canvas = document.createElement('canvas'); \
         canvas.width = canvas.height = 4; const context = canvas.getContext('2d'); \
         context.drawImage(picture, 0, 0, 4, 4); \
         return [document.querySelector('#classes .label').textContent, document.getElementById('frame').textContent, \
         context.getImageData(0, 0, 4, 4).data.join()]; })()",
    )
}

/// Checks that everything is within the screen and that no text is tiny.
fn check_layout(browser: &mut Browser, case: &str) {
    let beyond = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() \
         && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 200))",
    );
    assert_eq!(beyond, json!([]), "{case}: cut off at the right");
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, "{case}");
    let smallest = browser.evaluate(
        "Math.min(...[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && e.innerText) \
         .map(e => parseFloat(getComputedStyle(e).fontSize)))",
    );
    assert!(smallest.as_f64().is_some_and(|px| px >= 12.0), "{case}: text of {smallest} px");
}

#[test]
fn the_preview_is_live_in_a_browser() {
    let Some(model) = reference_model() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "Chromium is missing and CI must have it");
        eprintln!("skipped: Chromium is not here; install it (apt-get install chromium)");
        return;
    };
    let mut camera = Camera::start(&model, "127.0.0.1:0");
    let screenshots = std::env::var_os("RESNEXT_SCREENSHOTS").map(PathBuf::from);
    let shoot = |browser: &mut Browser, name: &str| {
        if let Some(folder) = &screenshots {
            std::fs::write(folder.join(format!("preview-{name}.png")), browser.screenshot()).unwrap();
        }
    };

    browser.look("light", 1280);
    let mut events = browser.open(&camera.url);
    wait(&mut browser, "document.getElementById('state').dataset.state === 'live'");
    wait(&mut browser, "document.getElementById('picture').naturalWidth > 0");
    assert_eq!(browser.evaluate("document.title"), "resnext camera");
    assert_eq!(browser.evaluate("document.querySelectorAll('#classes li').length"), 5);
    assert_eq!(
        browser.evaluate("document.getElementById('model').textContent"),
        "resnext26_16x4d_half-imagenette"
    );
    let before = seen(&mut browser);
    wait(&mut browser, &format!("document.querySelector('#classes .label').textContent !== {}", before[0]));
    let after = seen(&mut browser);
    assert_ne!(after[2], before[2], "the picture is another");
    let number = |seen: &Value| seen[1].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number(&after) > number(&before), "{before} {after}");
    wait(&mut browser, "document.getElementById('line').getAttribute('points').split(' ').length > 15");
    let within = "document.getElementById('line').getAttribute('points').split(' ').map(p => p.split(',').map(Number)) \
                  .every(([x, y]) => 0 <= x && x <= 240 && 0 <= y && y <= 48)";
    assert_eq!(browser.evaluate(within), true, "the sparkline stays in its box");
    assert_eq!(
        browser.evaluate("/^\\d+(\\.\\d)?$/.test(document.getElementById('latency').textContent)"),
        true
    );
    check_layout(&mut browser, "desk");
    shoot(&mut browser, "light");

    click(&mut browser, "#pause");
    let shown = "document.getElementById('save').href === document.getElementById('picture').src";
    assert_eq!(browser.evaluate(shown), true, "what is saved is what is shown");
    assert_eq!(browser.evaluate("document.getElementById('state').textContent"), "Paused");
    assert_eq!(browser.evaluate("document.getElementById('pause').textContent"), "Resume");
    let paused = seen(&mut browser);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(seen(&mut browser), paused, "paused is paused");
    click(&mut browser, "#pause");
    wait(&mut browser, &format!("document.getElementById('frame').textContent !== {}", paused[1]));
    wait(&mut browser, "document.getElementById('state').dataset.state === 'live'");

    browser.look("dark", 1280);
    thread::sleep(Duration::from_millis(700));
    shoot(&mut browser, "dark");
    browser.look("light", 360);
    thread::sleep(Duration::from_millis(300));
    check_layout(&mut browser, "phone");
    shoot(&mut browser, "phone");
    let saved = "fetch('/picture.jpg').then(async a => [a.status, a.headers.get('content-type'), (await a.blob()).size > 1000])";
    assert_eq!(browser.evaluate(saved), json!([200, "image/jpeg", true]));

    events.extend(browser.events());
    let of = |method: &str| events.iter().filter(|event| event["method"] == method).collect::<Vec<_>>();
    for complaint in ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"] {
        assert_eq!(of(complaint), Vec::<&Value>::new());
    }
    let requests = of("Network.requestWillBeSent");
    let asked: Vec<_> =
        requests.iter().filter_map(|request| request["params"]["request"]["url"].as_str()).collect();
    let ours = |url: &&&str| url.starts_with(&camera.url) || url.starts_with("blob:");
    assert!(asked.len() > 5 && asked.iter().all(|url| ours(&url)), "{asked:?}");

    assert_eq!(camera.end(), Some(0));
    wait(&mut browser, "document.getElementById('state').dataset.state === 'lost'");
    shoot(&mut browser, "lost");

    // When the program runs again, the page continues by itself, including the picture.
    let address = camera.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let _again = Camera::start(&model, &address);
    wait(&mut browser, "document.getElementById('state').dataset.state === 'live'");
    thread::sleep(Duration::from_secs(1));
    let before = seen(&mut browser);
    wait(&mut browser, &format!("document.querySelector('#classes .label').textContent !== {}", before[0]));
    assert_ne!(seen(&mut browser)[2], before[2], "the picture goes on too");
}

/// A pipe that delivers one frame in two seconds, as a slow board classifies: red, green and blue, which the model calls so. The panel
/// must never name another colour than the picture has, and the page must not complain of a pace that is usual here.
#[test]
fn picture_and_panel_agree_on_a_slow_board() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(scratch.path()) else {
        assert!(std::env::var_os("CI").is_none(), "Chromium is missing and CI must have it");
        eprintln!("skipped: Chromium is not here; install it (apt-get install chromium)");
        return;
    };
    let folder = Folder::new();
    let args = ["camera", "model.rnx", "-", "--format", "rgb24", "--size", "64x48", "--smooth", "none"];
    let mut command = command(&[&args[..], &["--serve", "127.0.0.1:0", "--timeout", "60"]].concat());
    command.current_dir(folder.path("")).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("resnext: preview at ").unwrap_or_else(|| panic!("{line}"));
    browser.open(url);
    wait(&mut browser, "events.readyState === EventSource.OPEN");
    let frame = |channel: usize| {
        let mut pixel = [20; 3];
        pixel[channel] = 220;
        pixel.repeat(64 * 48)
    };
    // The label, the channel of the picture that is brightest in the middle, and the state.
    let look = "(() => { const label = document.querySelector('#classes .label'); if (!label) return null; \
                const canvas = document.createElement('canvas'); canvas.width = canvas.height = 3; \
                const context = canvas.getContext('2d'); context.drawImage(document.getElementById('picture'), 0, 0, 3, 3); \
                const [r, g, b] = context.getImageData(1, 1, 1, 1).data; \
                return [label.textContent, r > g && r > b ? 'red' : g > b ? 'green' : 'blue', \
                document.getElementById('state').dataset.state]; })()";
    for channel in [0, 1, 2] {
        stdin.write_all(&frame(channel)).unwrap();
        let (start, mut last) = (Instant::now(), Value::Null);
        while start.elapsed() < Duration::from_millis(2300) {
            last = browser.evaluate(look);
            if !last.is_null() {
                assert_eq!(last[0], last[1], "frame {channel}: panel and picture differ");
                assert_eq!(last[2], "live", "frame {channel}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(last[0], COLOURS[channel], "it shows the newest frame");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
