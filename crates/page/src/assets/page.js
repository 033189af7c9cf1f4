// The page: gives images to what segments them, a server or the browser itself, and shows what comes back.

import * as backend from "./backend.js";
import { areas, atThreshold } from "./decode.js";
import { Stage } from "./stage.js";

const find = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const state = { models: [], model: null, settings: null, items: [], current: null, shown: [], threshold: null, active: 0 };

/** Makes an element with a text or children. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const number = (value) => value.toLocaleString("en").replaceAll(",", " ");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 3 : 2)} %`;
const say = (text) => (find("status").textContent = text);

function problem(text) {
  const box = find("problem");
  box.hidden = !text;
  if (!text) return box.replaceChildren();
  const close = make("button", { type: "button", textContent: "Close", onclick: () => problem(null) });
  box.replaceChildren(make("span", { textContent: text }), close);
}

// The model.

async function load() {
  try {
    const answer = await backend.models((text) => (find("lead").textContent = text), problem);
    Object.assign(state, { models: answer.models, settings: answer.settings });
    find("formats").textContent = answer.image_formats;
    const select = find("model");
    select.replaceChildren(...state.models.map((model, index) => {
      const several = state.models.filter((other) => other.name === model.name).length > 1;
      return make("option", { value: String(index), textContent: several ? `${model.name}, version ${model.version}` : model.name });
    }));
    find("pick-model").hidden = state.models.length < 2;
    if (state.models.length > 0) choose(state.models[0]);
    else find("lead").textContent = "No model is served.";
  } catch (error) {
    find("lead").textContent = "";
    problem(error.message);
  }
}

function choose(model) {
  const { contract } = model;
  state.model = model;
  state.threshold = null;
  state.shown = contract.classes.map(() => true);
  find("title").textContent = model.name;
  document.title = `${model.name}: segment images`;
  const targets = contract.classes.slice(1).map((one) => one.name);
  find("lead").textContent = `Finds ${targets.length > 1 ? `${targets.slice(0, -1).join(", ")} and ${targets.at(-1)}` : targets[0]}.`;
  certificate(model);
  facts(model);
  const isTwo = contract.classes.length === 2 && model.probabilities;
  find("threshold-group").hidden = !isTwo;
  find("threshold-name").textContent = `Threshold for ${targets[0]}`;
  find("downloads").replaceChildren(...backend.DOWNLOADS.filter(([name]) => name !== "probabilities" || model.probabilities).map(
    ([name, text, extension]) => make("button", { type: "button", id: `download-${name}`, textContent: text, onclick: () => download(name, extension) }),
  ));
  find("contract").textContent = JSON.stringify(contract, null, 2);
  backend.chosen(model, choose);
  for (const item of state.items) Object.assign(item, { result: null, error: null, state: "waiting" });
  next();
}

function certificate({ certificate: { verdict, detail, signed, page } }) {
  const kinds = {
    holds: ["holds", signed ? "Proven and signed" : "Proven", ["M14 25l7 7 14-16"]],
    elsewhere: ["holds", "Proven in ONNX Runtime", ["M14 25l7 7 14-16"]],
    fails: ["fails", "The certificate does not hold here", ["M16 16l16 16", "M32 16l-16 16"]],
    none: ["open", "Without a certificate", ["M24 14v13", "M24 34v.1"]],
    checking: ["open", "The certificate is being checked", ["M24 14v11l7 5"]],
  };
  const [kind, title, strokes] = kinds[verdict];
  const link = page ? [" ", make("a", { href: page, textContent: "The certificate" })] : [];
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", "0 0 48 48");
  icon.setAttribute("aria-hidden", "true");
  const circle = document.createElementNS(SVG, "circle");
  for (const [key, value] of [["cx", 24], ["cy", 24], ["r", 21]]) circle.setAttribute(key, value);
  icon.append(circle, ...strokes.map((path) => {
    const stroke = document.createElementNS(SVG, "path");
    stroke.setAttribute("d", path);
    return stroke;
  }));
  const box = find("certificate");
  box.className = `certificate ${kind}`;
  box.replaceChildren(icon, make("p", {}, make("strong", { textContent: title }), make("br"), detail ?? "", ...link));
  if (verdict === "checking") setTimeout(refresh, 1000);
}

/** Looks again for the certificate's verdict. */
async function refresh() {
  const answer = await backend.models(() => {}, problem);
  const found = answer.models.find((model) => model.name === state.model.name && model.version === state.model.version);
  if (found) certificate(Object.assign(state.model, { certificate: found.certificate }));
}

function facts(model) {
  const { input, output, classes, provenance } = model.contract;
  const size = input.size.policy === "resize" ? `stretched to ${input.size.height}×${input.size.width}` : "each image at its own size";
  const tensor = ({ name, datatype, shape }) => `${name}: ${datatype} [${shape.map((side) => (side < 0 ? "any" : side)).join(", ")}]`;
  const rows = [
    ["Classes", classes.map((one) => one.name).join(", ")],
    ["Network", [provenance.network, provenance.configuration].filter(Boolean).join(", ")],
    ["Trained on", provenance.data],
    ["Score", provenance.score],
    ["Size", size],
    ["Input", tensor(model.inputs[0])],
    ["Output", `${tensor(model.outputs[0])}, ${output.kind}`],
    ["Runs on", `${model.runs_on.provider}, ${model.runs_on.precision}, ONNX Runtime ${model.runs_on.onnx_runtime}`],
    ["Version", model.version],
    ["SHA-256", model.sha256],
  ];
  find("facts").replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

// The images.

function add(files) {
  const list = [...files];
  if (list.length === 0) return;
  problem(null);
  for (const file of list) state.items.push({ file, state: "waiting", result: null, error: null });
  find("drop").hidden = true;
  find("bench").hidden = false;
  if (!state.current) show(state.items.at(-list.length));
  strip();
  next();
}

/** Starts on the images that wait, few at once. */
function next() {
  if (!state.model) return;
  while (state.active < backend.AT_ONCE) {
    const waiting = (item) => item.state === "waiting";
    const item = state.current && waiting(state.current) ? state.current : state.items.find(waiting);
    if (!item) break;
    state.active++;
    item.state = "sent";
    segment(item, state.model).finally(() => {
      state.active--;
      strip();
      if (item === state.current) show(item);
      next();
    });
  }
  strip();
  if (state.current) show(state.current, true);
}

async function segment(item, model) {
  const { file } = item;
  // Another model may be chosen meanwhile.
  const isStale = () => item.state !== "sent" || state.model !== model;
  try {
    const result = await backend.segment(file, model);
    if (isStale()) return;
    item.result = { ...result, original: result.labels };
    item.state = "done";
    say(`${file.name} is segmented`);
  } catch (error) {
    if (isStale()) return;
    item.state = "failed";
    item.error = error.message;
    problem(`${file.name}: ${error.message}`);
  }
}

function show(item, keepView = false) {
  const isSame = state.current === item;
  state.current = item;
  const { result } = item;
  find("busy").hidden = item.state === "done" || item.state === "failed";
  if (result) {
    const { classes } = state.model.contract;
    result.labels = state.threshold !== null && result.probabilities ? atThreshold(result.probabilities, state.threshold) : result.original;
    const colors = classes.map((one) => one.color);
    stage.show({ ...result, colors, shown: state.shown }, keepView && isSame && stage.content?.labels);
    describe(result);
  } else {
    stage.content = null;
    stage.draw();
    find("record").replaceChildren();
    find("classes").replaceChildren();
  }
  for (const button of find("downloads").children) button.disabled = !result;
  strip();
}

/** Lists the classes with their areas, and what is known of the image. */
function describe({ labels, record }) {
  const { classes } = state.model.contract;
  const counts = areas(labels, classes.length);
  const rows = classes.map(({ name, color }, index) => {
    const swatch = make("span", { className: "color" });
    swatch.style.background = `rgb(${color.join(",")})`;
    const label = index === 0
      ? make("span", { className: "fixed" }, swatch, name)
      : make("label", {}, make("input", { type: "checkbox", checked: state.shown[index], onchange: (event) => toggle(index, event.target.checked) }), swatch, name);
    return make("li", {}, label, make("span", { className: "share", textContent: percent(counts[index] / labels.length) }),
      make("span", { className: "pixels", textContent: `${number(counts[index])} px` }));
  });
  // The box that is being used keeps the focus.
  const focused = [...find("classes").querySelectorAll("input")].indexOf(document.activeElement);
  find("classes").replaceChildren(...rows);
  if (focused >= 0) find("classes").querySelectorAll("input")[focused]?.focus();
  const total = record.decode_ms + record.preprocess_ms + record.infer_ms + record.postprocess_ms;
  const about = [
    ["Name", record.name], ["Size", `${record.width} × ${record.height}`],
    ["Run", record.tiles ? `in ${record.tiles} tiles` : "whole"],
    ["Network", `${record.infer_ms.toFixed(0)} ms of ${total.toFixed(0)} ms`],
  ];
  find("record").replaceChildren(...about.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

function toggle(index, isShown) {
  state.shown[index] = isShown;
  stage.layers();
  stage.draw();
}

/** Draws the row of images. */
function strip() {
  const buttons = state.items.map((item) => {
    const words = { waiting: "waits", sent: "segmenting…", failed: "failed" };
    let text = words[item.state] ?? "";
    if (item.result) {
      const { labels, original } = item.result;
      const found = state.threshold === null ? original : labels;
      text = percent(1 - areas(found, state.model.contract.classes.length)[0] / found.length);
    }
    const button = make("button", {
      type: "button", className: item.state, title: item.error ?? item.file.name,
      onclick: () => {
        problem(item.error ? `${item.file.name}: ${item.error}` : null);
        show(item);
      },
    }, item.result ? thumbnail(item) : make("span", { className: "empty", textContent: item.state === "failed" ? "×" : "…", "aria-hidden": "true" }),
    make("span", { className: "name", textContent: item.file.name }), make("span", { className: "state", textContent: text }));
    button.setAttribute("aria-current", String(item === state.current));
    return make("li", {}, button);
  });
  find("strip").replaceChildren(...(state.items.length > 1 || state.items.some((item) => item.state === "failed") ? buttons : []));
}

function thumbnail(item) {
  if (!item.thumbnail) {
    const { picture, width, height } = item.result;
    const scale = Math.max(190 / width, 134 / height);
    item.thumbnail = make("canvas", { width: 190, height: 134, "aria-hidden": "true" });
    const context = item.thumbnail.getContext("2d");
    context.drawImage(picture, (190 - width * scale) / 2, (134 - height * scale) / 2, width * scale, height * scale);
  }
  return item.thumbnail;
}

function point(pixel) {
  const result = state.current?.result;
  const readout = find("readout");
  if (!pixel || !result) {
    readout.textContent = "Point at the image for its classes.";
    return;
  }
  const [x, y] = pixel;
  const { classes } = state.model.contract;
  const place = y * result.width + x;
  const parts = [`${x}, ${y}: `, make("b", { textContent: classes[result.labels[place]].name })];
  if (result.probabilities) {
    const pixels = result.width * result.height;
    const shares = classes.map(({ name }, index) => `${name} ${result.probabilities.values[index * pixels + place].toFixed(3)}`);
    parts.push(` (${shares.join(", ")})`);
  }
  readout.replaceChildren(...parts);
}

function threshold(value) {
  state.threshold = value;
  find("threshold").value = String(value ?? 0.5);
  find("threshold-value").textContent = (value ?? 0.5).toFixed(2);
  const cleans = Object.keys(state.settings.cleanup).length > 0;
  find("threshold-note").textContent = value === null
    ? "The more probable class wins."
    : `Pixels with a probability of ${value.toFixed(2)} or more.${cleans ? " The server's cleaning is not shown." : ""}`;
  find("threshold-reset").hidden = value === null;
  if (state.current?.result) show(state.current, true);
}

async function download(name, extension) {
  const { file } = state.current;
  const button = find(`download-${name}`);
  button.disabled = true;
  try {
    const blob = await backend.download(file, state.current.result, state.model, name, state.threshold);
    const link = make("a", { href: URL.createObjectURL(blob), download: `${file.name.replace(/\.[^.]+$/, "")}.${name}.${extension}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    problem(error.message);
  } finally {
    button.disabled = false;
  }
}

// The controls.

const stage = new Stage(find("stage"), find("canvas"), find("divider"), {
  onZoom: (scale) => (find("zoom").textContent = `${Math.round(100 * scale)} %`),
  onPoint: point,
});

function compare() {
  const button = find("compare");
  const isOn = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isOn));
  stage.compare(isOn);
}

find("zoom-in").onclick = () => stage.zoom(1.25);
find("zoom-out").onclick = () => stage.zoom(0.8);
find("zoom-fit").onclick = () => {
  if (!stage.content) return;
  stage.fit();
  stage.draw();
};
find("compare").onclick = compare;
find("stage").addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "c" && !event.ctrlKey && !event.metaKey) compare();
});
find("opacity").oninput = (event) => {
  stage.opacity = event.target.value / 100;
  find("opacity-value").textContent = `${event.target.value} %`;
  stage.draw();
};
find("contours").onchange = (event) => {
  stage.contours = event.target.checked;
  stage.draw();
};
find("threshold").oninput = (event) => threshold(Number(event.target.value));
find("threshold-reset").onclick = () => {
  threshold(null);
  find("threshold").focus();
};
find("model").onchange = (event) => choose(state.models[event.target.value]);
for (const id of ["choose", "add"]) find(id).onclick = () => find("files").click();
find("files").onchange = (event) => {
  add(event.target.files);
  event.target.value = "";
};
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", name === "dragenter" || name === "dragover");
    if (name === "drop") add(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));

load();
