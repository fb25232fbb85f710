"use strict";

const byId = (id) => document.getElementById(id);
const pauseButton = byId("pause");
const classes = byId("classes");

// Number of frames in the latency plot.
const LENGTH = 120;
const WIDTH = 240;
const HEIGHT = 48;
// The temperature at which a Raspberry Pi begins to slow down, in degrees Celsius.
const HOT = 80;

// The least silence that is remarked on, and that of a source whose pace is not known yet, in milliseconds.
const SILENCE = 2000;
const FIRST_SILENCE = 10000;

let picture = byId("picture");
let events = null;
let latencies = [];
let lastNews = 0;
// Milliseconds between the last readings.
let intervals = [];
// The newest reading, if its picture has not been fetched.
let next = null;
let fetching = false;
let paused = false;

function show(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function setState(state, text) {
  if (byId("state").dataset.state !== state) byId("state").dataset.state = state;
  show("state", text);
}

const milliseconds = (value) => (value < 100 ? value.toFixed(1) : value.toFixed(0));

function showClasses(top) {
  while (classes.children.length > top.length) classes.lastElementChild.remove();
  while (classes.children.length < top.length) {
    const item = document.createElement("li");
    for (const name of ["label", "percent", "track"]) {
      const part = document.createElement("span");
      part.className = name;
      item.append(part);
    }
    const bar = document.createElement("span");
    bar.className = "bar";
    item.querySelector(".track").append(bar);
    item.querySelector(".track").setAttribute("aria-hidden", "true");
    classes.append(item);
  }
  top.forEach((prediction, i) => {
    const item = classes.children[i];
    const label = prediction.label.trim() || `class ${prediction.class}`;
    const percent = 100 * Math.min(1, Math.max(0, prediction.probability || 0));
    item.querySelector(".label").textContent = label;
    item.querySelector(".label").title = label;
    item.querySelector(".percent").textContent = `${percent.toFixed(1)} %`;
    item.querySelector(".bar").style.width = `${percent}%`;
  });
}

function showLatency(latency) {
  if (!Number.isFinite(latency)) return;
  latencies = latencies.concat(latency).slice(-LENGTH);
  show("latency", milliseconds(latency));
  const sorted = [...latencies].sort((a, b) => a - b);
  const most = sorted[sorted.length - 1];
  show("least", `min ${milliseconds(sorted[0])}`);
  show("median", `median ${milliseconds(sorted[Math.floor((sorted.length - 1) / 2)])}`);
  show("most", `max ${milliseconds(most)}`);
  // The scale starts at zero, so that a jitter of a tenth looks like a tenth.
  const scale = (HEIGHT - 3) / Math.max(most, 1);
  const step = WIDTH / (LENGTH - 1);
  const start = WIDTH - (latencies.length - 1) * step;
  const points = latencies.map((value, i) => `${(start + i * step).toFixed(1)},${(HEIGHT - value * scale).toFixed(1)}`);
  byId("line").setAttribute("points", points.join(" "));
  byId("area").setAttribute("d", `M${start.toFixed(1)},${HEIGHT} L${points.join(" L")} L${WIDTH},${HEIGHT} Z`);
}

function showReading(reading) {
  show("model", reading.model);
  showClasses(reading.top);
  showLatency(reading.latency_ms);
  show("inference", Number.isFinite(reading.inference_ms) ? `${milliseconds(reading.inference_ms)} ms` : "–");
  show("fps", Number.isFinite(reading.fps) ? `${reading.fps.toFixed(1)} fps` : "–");
  show("frame", String(reading.frame));
  show("dropped", String(reading.dropped));
  const temperature = reading.temperature_c;
  const health = [Number.isFinite(temperature) ? `${temperature.toFixed(0)} °C` : "unknown"];
  if (reading.slowed) health.push(reading.slowed);
  show("temperature", health.join(", "));
  byId("temperature").classList.toggle("hot", temperature >= HOT || Boolean(reading.slowed));
}

// A reading is shown together with the picture that it names. While one is fetched, newer readings replace each other.
function receive(reading) {
  const now = performance.now();
  if (lastNews > 0) intervals = intervals.concat(now - lastNews).slice(-5);
  lastNews = now;
  setState("live", "Live");
  next = reading;
  if (!fetching) showNext();
}

async function showNext() {
  fetching = true;
  while (next !== null && !paused) {
    const reading = next;
    next = null;
    try {
      const answer = await fetch(reading.picture);
      // A picture that the server no longer has is not shown, and neither is its reading.
      if (!answer.ok) continue;
      const image = new Image();
      image.src = URL.createObjectURL(await answer.blob());
      // It is decoded in advance, so that picture and reading change together.
      await image.decode();
      if (paused) break;
      showPicture(image, reading.frame);
      showReading(reading);
    } catch {
      // The connection is lost, which the events say, or the picture is cut for that reason.
    }
  }
  fetching = false;
}

function showPicture(image, frame) {
  const before = picture.src;
  image.id = "picture";
  image.alt = picture.alt;
  image.width = image.naturalWidth;
  image.height = image.naturalHeight;
  picture.replaceWith(image);
  picture = image;
  byId("save").href = image.src;
  byId("save").download = `resnext-${frame}.jpg`;
  if (before) URL.revokeObjectURL(before);
}

function connect() {
  events = new EventSource("/events");
  events.onmessage = (message) => receive(JSON.parse(message.data));
  events.onerror = () => {
    // Another run of the program may have another pace.
    lastNews = 0;
    intervals = [];
    setState("lost", "Connection lost; trying again");
    // The server refuses the connection, for example after a restart with another token. The reloaded page shows its message.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
}

pauseButton.addEventListener("click", () => {
  paused = !paused;
  pauseButton.textContent = paused ? "Resume" : "Pause";
  if (!paused) return connect();
  events.close();
  next = null;
  lastNews = 0;
  setState("paused", "Paused");
});

// A slow model or camera is not a lost one: only a silence of several times its usual pace is remarked on.
function longestSilence() {
  return intervals.length > 0 ? Math.max(SILENCE, 3 * Math.max(...intervals)) : FIRST_SILENCE;
}

setInterval(() => {
  if (paused || lastNews === 0 || events.readyState !== EventSource.OPEN) return;
  const silence = performance.now() - lastNews;
  if (silence >= longestSilence()) setState("lost", `No frame for ${Math.round(silence / 1000)} s`);
}, 1000);

connect();
