"use strict";

const byId = (id) => document.getElementById(id);
const picture = byId("picture");
const pauseButton = byId("pause");
const classes = byId("classes");

// Number of frames in the latency plot.
const LENGTH = 120;
const WIDTH = 240;
const HEIGHT = 48;
// The temperature at which a Raspberry Pi begins to slow down, in degrees Celsius.
const HOT = 80;

let events = null;
let latencies = [];
let lastNews = 0;
let paused = false;
// Whether the connection was lost. The picture stream ends without an event in that case.
let lost = false;

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
  lastNews = performance.now();
  setState("live", "Live");
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

function connect() {
  events = new EventSource("/events");
  events.onmessage = (message) => showReading(JSON.parse(message.data));
  events.onopen = () => {
    if (lost) showStream();
    lost = false;
  };
  events.onerror = () => {
    lost = true;
    setState("lost", "Connection lost; trying again");
    // The server refuses the connection, for example after a restart with another token. The reloaded page shows its message.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
}

function showStream() {
  // A new address each time, because browsers do not start the same stream twice.
  picture.src = `/stream?${Date.now()}`;
}

function resume() {
  showStream();
  connect();
}

pauseButton.addEventListener("click", () => {
  paused = !paused;
  pauseButton.textContent = paused ? "Resume" : "Pause";
  if (!paused) return resume();
  events.close();
  // The stream ends, and a copy of the last picture stays.
  const still = document.createElement("canvas");
  still.width = picture.naturalWidth || 1;
  still.height = picture.naturalHeight || 1;
  still.getContext("2d").drawImage(picture, 0, 0);
  still.toBlob((blob) => {
    if (paused && blob) picture.src = URL.createObjectURL(blob);
  }, "image/png");
  setState("paused", "Paused");
});

picture.addEventListener("load", () => {
  picture.width = picture.naturalWidth;
  picture.height = picture.naturalHeight;
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
});

picture.addEventListener("error", () => {
  if (!paused) setTimeout(() => { if (!paused) showStream(); }, 2000);
});

setInterval(() => {
  if (paused || lastNews === 0 || events.readyState !== EventSource.OPEN) return;
  const seconds = Math.round((performance.now() - lastNews) / 1000);
  if (seconds >= 2) setState("lost", `No frame for ${seconds} s`);
}, 1000);

connect();
