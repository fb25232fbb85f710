// The web preview in a real browser: node ci/preview.mjs EXAMPLE SCREENSHOTS, with playwright-core in NODE_PATH.
//
// EXAMPLE is the program `preview` of apps/camera/examples. Looks at the page on a desktop, light and dark, and on a phone;
// clicks; fails if labels or picture stand still when they should not (or the other way around), on any error in the
// console, any request to elsewhere, and anything wider than the phone.

import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [example, screenshots] = process.argv.slice(2);
const { chromium } = createRequire(join(process.env.NODE_PATH, "_"))("playwright-core");
mkdirSync(screenshots, { recursive: true });

let passed = 0;
function check(condition, what) {
  if (!condition) throw new Error(what);
  passed += 1;
}

const server = spawn(example, ["127.0.0.1:0"], { stdio: ["pipe", "pipe", "inherit"] });
const [url] = await new Promise((resolve, reject) => {
  createInterface(server.stdout).once("line", (line) => resolve([line]));
  server.once("error", reject);
  server.once("exit", () => reject(new Error("the example ended early")));
});

const profile = mkdtempSync(join(tmpdir(), "resnext-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1280, height: 800 },
  colorScheme: "light",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = browser.pages()[0] ?? await browser.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("blob:")) complaints.push(`asks ${request.url()}`);
  });

  const text = (id) => page.textContent(`#${id}`);
  const first = () => page.textContent("#classes li:first-child .label");
  const shot = (name) => page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });

  await page.goto(url);
  await page.waitForSelector("#state[data-state=live]");
  check((await page.title()) === "resnext camera", "title");
  check((await page.locator("#classes li").count()) === 5, "five classes");
  check(await page.evaluate(() => document.getElementById("picture").naturalWidth > 0), "a picture");
  const [label, frame] = [await first(), Number(await text("frame"))];
  await page.waitForFunction(
    (before) => document.querySelector("#classes li:first-child .label").textContent !== before, label);
  check(Number(await text("frame")) > frame, "frames are counted");
  check(/^\d+(\.\d)?$/.test(await text("latency")), "latency");
  await page.waitForTimeout(3000);
  const points = await page.getAttribute("#line", "points");
  check(points.split(" ").length > 10, "a sparkline");
  check(points.split(" ").every((point) => { const [x, y] = point.split(",").map(Number);
    return x >= 0 && x <= 240 && y >= 0 && y <= 48; }), "the sparkline stays in its box");
  await shot("light");

  await page.click("#pause");
  await page.waitForSelector("#state[data-state=paused]");
  check((await text("pause")) === "Resume", "the button says what it does next");
  await page.waitForFunction(() => document.getElementById("picture").src.startsWith("blob:"));
  const paused = [await first(), await text("frame")];
  await page.waitForTimeout(2500);
  check(String([await first(), await text("frame")]) === String(paused), "paused means paused");
  await shot("paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.waitForFunction((before) => document.getElementById("frame").textContent !== before, paused[1]);
  check(true, "resumed");

  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForTimeout(500);
  await shot("dark");

  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(500);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "fits a phone");
  await shot("phone");

  const stored = await page.evaluate(async () => {
    const answer = await fetch("/picture.jpg");
    return [answer.status, answer.headers.get("content-type")];
  });
  check(String(stored) === "200,image/jpeg", `a picture to save: ${stored}`);

  server.stdin.end();
  await page.waitForSelector("#state[data-state=lost]");
  check(true, "says that the connection is lost");
  const own = complaints.filter((complaint) => !/ERR_(CONNECTION_REFUSED|EMPTY_RESPONSE|INCOMPLETE_CHUNKED|CONNECTION_RESET)/.test(complaint));
  check(own.length === 0, `complaints: ${own.join("; ")}`);
  console.log(`test result: ok. ${passed} passed; 0 failed`);
} catch (error) {
  console.log(`${error.stack}\ntest result: FAILED. ${passed} passed; 1 failed`);
  process.exitCode = 1;
} finally {
  await browser.close();
  server.kill();
  rmSync(profile, { recursive: true, force: true });
}
