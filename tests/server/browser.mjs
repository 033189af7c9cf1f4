// The pages of `export --web` in Chromium, as a person uses them. browser.py exports and offers them, and compares the masks.
import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

const require = createRequire(join(resolve(process.env.NODE_PATH ?? "node_modules"), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { ADDRESS, PAGES, REFUSED, OUT } = process.env;

let failed = 0;
function check(name, holds, found = "") {
  console.log(`  ${holds ? "holds" : "FAILS"}  ${name}${found === "" ? "" : `: ${found}`}`);
  if (!holds) failed++;
}

async function open(extra) {
  const flags = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", ...extra,
  ];
  const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "page-")), {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, viewport: { width: 1280, height: 900 }, acceptDownloads: true,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(120_000);
  const errors = [], hosts = new Set();
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => request.url().startsWith("blob:") || hosts.add(new URL(request.url()).origin));
  return { context, page, errors, hosts };
}

const { context, page, errors, hosts } = await open(["--disable-gpu"]);

/** Runs the rules of axe-core. */
async function rules(name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  check(`axe-core: ${name}`, violations.length === 0, violations.map((one) => `${one.id} ${one.nodes.map((node) => node.html).join(" ")}`).join("; "));
}

/** Returns the bytes of a download, of which Chromium drops without a word those beyond ten in a second. */
async function download(from, id) {
  await from.waitForTimeout(150);
  const [file] = await Promise.all([from.waitForEvent("download"), from.click(`#download-${id}`)]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/** Segments images on a page, and keeps the masks in a folder. */
async function segment(on, images, folder) {
  mkdirSync(folder, { recursive: true });
  await on.setInputFiles("#files", images);
  await on.waitForFunction((count) => document.querySelectorAll("#strip .done, #strip .failed").length === count, images.length);
  for (const [index, image] of images.entries()) {
    await on.locator("#strip button").nth(index).click();
    if (await on.locator("#strip button").nth(index).evaluate((button) => button.className === "failed")) {
      check(`${basename(image)} is segmented`, false, await on.textContent("#problem"));
      continue;
    }
    writeFileSync(join(folder, basename(image)), (await download(on, "mask")).bytes);
  }
}

const pages = JSON.parse(PAGES);
for (const { name, images } of pages) {
  await page.goto(`${ADDRESS}/${name}/`);
  await page.waitForSelector("#facts div");
  await segment(page, images, join(OUT, "masks", name));
  check(`${name}: all images`, (await page.locator("#strip .done").count()) === images.length);
}

// The page itself, with the first model.
await page.goto(`${ADDRESS}/${pages[0].name}/`);
await page.waitForSelector("#facts div");
check("the model's name is the title", (await page.textContent("h1")) === pages[0].name);
const text = await page.textContent("#certificate");
check("the certificate is shown, and what it does not cover", /Proven in ONNX Runtime.*Web 1\.\d+\.\d+, which the proof does not cover/s.test(text), text);
check("without a GPU it runs with WebAssembly", (await page.locator("#engine").inputValue()) === "wasm");
for (const link of await page.locator("main a").evaluateAll((links) => links.map((one) => one.href))) {
  check(`there is ${link.split("/").at(-1)}`, (await page.request.get(link)).ok());
}
await rules("empty");
await page.setInputFiles("#files", pages[0].images.slice(0, 1));
await page.waitForFunction(() => document.querySelectorAll("#classes li").length > 0 && document.getElementById("busy").hidden);
await rules("an image");
const pixels = async () => Number((await page.locator("#classes .pixels").last().textContent()).replace(/[^0-9]/g, ""));
const before = await pixels();
await page.locator("#threshold").fill("0.2");
check("the threshold changes the mask", (await pixels()) > before, `${before} ${await pixels()}`);
writeFileSync(join(OUT, "threshold.png"), (await download(page, "mask")).bytes);
writeFileSync(join(OUT, "probabilities.npy"), (await download(page, "probabilities")).bytes);
await page.click("#threshold-reset");
check("the threshold goes back", (await pixels()) === before);
const box = await page.locator("#stage").boundingBox();
await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
check("probabilities are under the pointer", /\(background 0\.\d{3}, target 0\.\d{3}\)/.test(await page.textContent("#readout")), await page.textContent("#readout"));
check("no error in the console", errors.length === 0, errors.join("; "));

// What a browser cannot do as `infer` does is refused by name.
for (const { file, words } of JSON.parse(REFUSED)) {
  const count = await page.locator("#strip .failed").count();
  await page.setInputFiles("#files", file);
  await page.waitForFunction((before) => document.querySelectorAll("#strip .failed").length > before, count);
  const problem = await page.textContent("#problem");
  check(`${basename(file)} is refused`, problem.includes(basename(file)) && problem.includes(words), problem);
}
await rules("an error");
await page.locator("#problem button").click();
// A JPEG file, which the browser makes and decodes itself.
const jpeg = await page.evaluate(async () => {
  const canvas = new OffscreenCanvas(96, 64), context = canvas.getContext("2d");
  context.fillStyle = "#404040";
  context.fillRect(0, 0, 96, 64);
  context.fillStyle = "#d0d0d0";
  context.fillRect(30, 20, 24, 24);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 })).arrayBuffer());
  return [...bytes];
});
const done = await page.locator("#strip .done").count();
const failures = await page.locator("#strip .failed").count();
await page.setInputFiles("#files", { name: "drawn.jpg", mimeType: "image/jpeg", buffer: Buffer.from(jpeg) });
await page.waitForFunction((count) => document.querySelectorAll("#strip .done, #strip .failed").length === count, done + failures + 1);
check("a JPEG file is segmented", (await page.locator("#strip .done").count()) === done + 1, (await page.locator("#problem").textContent()) ?? "");
check("no other host was asked", hosts.size === 1 && hosts.has(ADDRESS), [...hosts].join(" "));
check("no error in the console to the end", errors.length === 0, errors.join("; "));

// A picture for people, and a telephone.
await page.goto(`${ADDRESS}/${pages[0].name}/`);
await page.waitForSelector("#facts div");
const shown = pages[0].images.slice(0, 4);
await page.setInputFiles("#files", shown);
await page.waitForFunction((count) => document.querySelectorAll("#strip .done").length === count, shown.length);
await page.setViewportSize({ width: 1280, height: 1110 });
await page.waitForTimeout(300);
await page.screenshot({ path: join(OUT, "browser.png") });
await page.screenshot({ path: join(OUT, "browser-whole.png"), fullPage: true });
await page.emulateMedia({ colorScheme: "dark" });
await page.setViewportSize({ width: 390, height: 844 });
await page.waitForTimeout(300);
check("nothing is wider than a telephone", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
await rules("a telephone");
await context.close();

// WebGPU, on SwiftShader: a processor that stands in for a GPU, which the page uses only when asked to.
const gpu = await open(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--use-angle=swiftshader", "--enable-features=Vulkan"]);
await gpu.page.goto(`${ADDRESS}/${pages[0].name}/?engine=webgpu`);
await gpu.page.waitForSelector("#facts div");
const adapter = await gpu.page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter().catch(() => null)));
if (adapter) {
  const few = pages[0].images.slice(-3);
  await segment(gpu.page, few, join(OUT, "masks", "webgpu"));
  check("WebGPU: no error in the console", gpu.errors.length === 0, gpu.errors.join("; "));
} else {
  console.log("  WebGPU is not tested: this Chromium offers no adapter");
}
await gpu.context.close();
process.exit(failed > 0 ? 1 : 0);
