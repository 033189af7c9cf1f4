// The page in Chromium, as a person uses it. page.py starts the server that it talks to.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const require = createRequire(join(resolve(process.env.NODE_PATH ?? "node_modules"), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { ADDRESS, MASKS, BROKEN, OUT, IMAGES } = process.env;

let failed = 0;
function check(name, holds, found = "") {
  console.log(`  ${holds ? "holds" : "FAILS"}  ${name}${found === "" ? "" : `: ${found}`}`);
  if (!holds) failed++;
}

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "page-")), {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, viewport: { width: 1280, height: 900 }, acceptDownloads: true,
});
const page = context.pages()[0] ?? (await context.newPage());
const errors = [];
const hosts = new Set();
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
page.on("request", (request) => request.url().startsWith("blob:") || hosts.add(new URL(request.url()).origin));

/** Runs the rules of axe-core. */
async function rules(name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  check(`axe-core: ${name}`, violations.length === 0, violations.map((one) => `${one.id} ${one.nodes.map((node) => node.html).join(" ")}`).join("; "));
}

/** Waits until an image is shown. */
const shown = () => page.waitForFunction(() => document.querySelectorAll("#classes li").length > 0 && document.getElementById("busy").hidden);
/** Returns the pixels of the last class, as the page shows them. */
const pixels = async () => Number((await page.locator("#classes .pixels").last().textContent()).replace(/[^0-9]/g, ""));
/** Returns the bytes of a download. */
async function download(id) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(`#download-${id}`)]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}
const picture = (name) => page.screenshot({ path: join(OUT, `${name}.png`) });

const names = readdirSync(IMAGES).filter((name) => name.endsWith(".png")).sort();
await page.goto(ADDRESS);
await page.waitForSelector("#facts div");
check("the model's name is the title", (await page.textContent("h1")) === "nuclei");
await page.waitForSelector("#certificate.holds");
check("the certificate's verdict is shown", (await page.textContent("#certificate")).includes("Proven"));
await rules("empty");
await picture("empty");

await page.setInputFiles("#files", names.slice(0, 1).map((name) => join(IMAGES, name)));
await shown();
await rules("an image");
await picture("image");

// The page's labels are the bytes of the mask that `infer` writes: both are counted by the same decoder.
const expected = readFileSync(join(MASKS, "plain/masks", names[0]));
const mask = await download("mask");
check("the mask has the bytes of `infer`", mask.bytes.equals(expected), mask.name);
const counts = await page.evaluate(async (bytes) => {
  const { readMask, areas } = await import("/decode.js");
  const { labels } = await readMask(new Uint8Array(bytes).buffer);
  return areas(labels, 2);
}, [...expected]);
check("the areas are those of the mask", (await pixels()) === counts[1], `${await pixels()} ${counts[1]}`);
// A canvas knows the colours of that palette: the decoder is compared with another one.
const byCanvas = await page.evaluate(async (bytes) => {
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] + data[i + 1] + data[i + 2] > 0;
  return count;
}, [...expected]);
check("the browser's own decoder sees as many pixels", byCanvas === counts[1], `${byCanvas} ${counts[1]}`);
const polygons = await download("polygons");
check("GeoJSON has the bytes of `infer`", polygons.bytes.equals(readFileSync(join(MASKS, "plain/polygons", names[0].replace(".png", ".geojson")))));
check("the overlay can be had", (await download("overlay")).bytes.subarray(1, 4).toString() === "PNG");

// The slider asks nobody, and shows the mask that the server makes at that threshold.
let asked = 0;
page.on("request", (request) => request.url().includes("/v1/segment") && asked++);
await page.locator("#threshold").fill("0.2");
const low = await page.evaluate(async (bytes) => {
  const { readMask, areas } = await import("/decode.js");
  return areas((await readMask(new Uint8Array(bytes).buffer)).labels, 2);
}, [...readFileSync(join(MASKS, "low/masks", names[0]))]);
check("the threshold changes the mask as `infer --threshold` does", (await pixels()) === low[1], `${await pixels()} ${low[1]}`);
check("the slider asks no server", asked === 0, asked);
check("a download has the threshold", (await download("mask")).bytes.equals(readFileSync(join(MASKS, "low/masks", names[0]))));
await page.click("#threshold-reset");
check("the threshold goes back", (await pixels()) === counts[1]);

/** Returns a hash of the stage's pixels. */
const stage = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const canvas = document.getElementById("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0;
  for (let i = 0; i < data.length; i += 4) hash = (hash * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) | 0;
  done(hash);
}))));
let before = await stage();
async function changes(name, act) {
  await act();
  const now = await stage();
  check(name, now !== before);
  before = now;
}
await changes("opacity changes the picture", () => page.locator("#opacity").fill("90"));
await changes("contours go", () => page.uncheck("#contours"));
await changes("a class goes", () => page.locator("#classes input").first().uncheck());
await changes("and comes back", () => page.locator("#classes input").first().check());
await page.locator("#opacity").fill("45");
await page.check("#contours");
before = await stage();
const box = await page.locator("#stage").boundingBox();
await changes("the wheel enlarges", async () => {
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.wheel(0, -600);
});
await changes("the image is dragged", async () => {
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 90, box.y + box.height / 2 + 60, { steps: 4 });
  await page.mouse.up();
});
check("probabilities are under the pointer", /\d+, \d+: (background|nucleus) \(background 0\.\d{3}, nucleus 0\.\d{3}\)/.test(await page.textContent("#readout")), await page.textContent("#readout"));
await page.focus("#stage");
await changes("keys move it", () => page.keyboard.press("ArrowLeft"));
await changes("keys enlarge it", () => page.keyboard.press("+"));
await changes("a key shows all of it", () => page.keyboard.press("0"));
await changes("a key compares", () => page.keyboard.press("c"));
await page.focus("#divider");
await changes("keys move the line", () => page.keyboard.press("PageUp"));
await rules("comparing");
await picture("compare");
await page.click("#compare");
const touch = await context.newCDPSession(page);
before = await stage();
await changes("two fingers enlarge", async () => {
  const at = (d) => [{ x: box.x + box.width / 2 - d, y: box.y + 200, id: 1 }, { x: box.x + box.width / 2 + d, y: box.y + 200, id: 2 }];
  await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: at(40) });
  for (const d of [60, 80, 120]) await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: at(d) });
  await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
});
await page.click("#zoom-fit");

await page.setInputFiles("#files", names.slice(1, 6).map((name) => join(IMAGES, name)));
await page.waitForFunction(() => document.querySelectorAll("#strip .done").length === 6);
check("several images are segmented", (await page.locator("#strip li").count()) === 6);
await page.click("#compare");
await page.evaluate(() => document.activeElement.blur());
await page.mouse.move(box.x + box.width * 0.72, box.y + box.height * 0.45);
await page.setViewportSize({ width: 1280, height: 1110 });
await page.waitForTimeout(300);
await picture("several");
await page.setViewportSize({ width: 1280, height: 900 });
await page.click("#compare");
check("no error so far", errors.length === 0, errors.join("; "));

await page.setInputFiles("#files", BROKEN);
await page.waitForSelector("#strip .failed");
const problem = await page.textContent("#problem");
check("a broken file is an error with the server's words", /broken.*(cut off|damaged|decode)/.test(problem), problem);
// The browser itself notes the status of the answer.
const others = errors.filter((text) => !text.includes("status of 4"));
check("no other error in the console", others.length === 0, others.join("; "));
await rules("an error");
await picture("error");
await page.locator("#problem button").click();

await page.locator("#strip button").nth(2).click();
await page.emulateMedia({ colorScheme: "dark" });
await rules("dark");
await picture("dark");
await page.setViewportSize({ width: 390, height: 844 });
await page.waitForTimeout(300);
check("nothing is wider than a telephone", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), await page.evaluate(() => document.documentElement.scrollWidth));
await page.screenshot({ path: join(OUT, "telephone.png"), fullPage: true });
await rules("a telephone");
await page.emulateMedia({ colorScheme: "light" });
await page.setViewportSize({ width: 1280, height: 900 });
await page.waitForTimeout(300);
await page.screenshot({ path: join(OUT, "whole.png"), fullPage: true });
check("no other host was asked", hosts.size === 1 && hosts.has(ADDRESS), [...hosts].join(" "));
await context.close();
process.exit(failed > 0 ? 1 : 0);
