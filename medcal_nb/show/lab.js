// The reliability lab: a forecaster to be drawn by hand, with its numbers. Plain ES module, used as
// an anywidget in a notebook and by itself on a static page. Nothing is fetched from anywhere.

const LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9];
const MOST = 5000;
const SAMPLES = 200; // of a calibrated forecaster, for the band of chance
const DEFAULTS = {
  right: [0.22, 0.38, 0.5, 0.58, 0.66],
  n: 451,
  bins: 15,
  temperature: 1,
  threshold: 0.5,
  cost: 5,
  sample: 1,
};
const SIZES = [20, 50, 100, 200, 451, 1000, 2000, MOST];

// A small generator of random numbers with a seed (mulberry32), so that a drag moves only what it
// should: the luck of the draw stays.
function randomness(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const draws = new Map();
function uniform(seed) {
  if (!draws.has(seed)) draws.set(seed, Float64Array.from({ length: MOST }, randomness(seed)));
  return draws.get(seed);
}

// σ(logit(p) / T)
export function tempered(p, temperature) {
  return 1 / (1 + Math.pow((1 - p) / p, 1 / temperature));
}

// What a forecaster says and whether it is right, one pair per answer.
export function answers(settings) {
  const { right, n, temperature, sample } = { ...DEFAULTS, ...settings };
  const said = LEVELS.map((level) => tempered(level, temperature));
  const u = uniform(sample);
  const confidence = new Float64Array(n);
  const correct = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
    const level = i % LEVELS.length;
    confidence[i] = said[level];
    correct[i] = u[i] < right[level] ? 1 : 0;
  }
  return { confidence, correct };
}

// The bin of a confidence among equal ones: (low, high], 0 in the first.
export function binOf(c, bins) {
  let bin = Math.max(0, Math.ceil(c * bins) - 1);
  while (bin + 1 < bins && c > (bin + 1) / bins) bin++;
  while (bin > 0 && c <= bin / bins) bin--;
  return bin;
}

function binned(cells, confidence, correct, bins) {
  const table = Array.from({ length: bins }, () => ({ n: 0, says: 0, right: 0 }));
  for (let i = 0; i < confidence.length; i++) {
    const row = table[cells[i]];
    row.n++;
    row.says += confidence[i];
    row.right += correct[i];
  }
  return table;
}

const gap = (table, n) => table.reduce((sum, row) => sum + Math.abs(row.right - row.says), 0) / n;

// ECE, Brier score, log loss, accuracy and mean confidence, and the table of bins.
export function measures(confidence, correct, bins) {
  const n = confidence.length;
  const cells = Array.from(confidence, (c) => binOf(c, bins));
  const table = binned(cells, confidence, correct, bins);
  let brier = 0, loss = 0, says = 0, right = 0;
  for (let i = 0; i < n; i++) {
    const c = Math.min(Math.max(confidence[i], 1e-12), 1 - 1e-12);
    brier += (confidence[i] - correct[i]) ** 2;
    loss -= Math.log(correct[i] ? c : 1 - c);
    says += confidence[i];
    right += correct[i];
  }
  return {
    ece: gap(table, n), brier: brier / n, logLoss: loss / n,
    accuracy: right / n, confidence: says / n, table,
  };
}

// What chance alone does to a calibrated forecaster that says the same: the ECE that 95 of 100
// samples stay below, and per bin where 95 of 100 dots fall.
export function chance(confidence, bins) {
  const n = confidence.length, next = randomness(77);
  const cells = Uint8Array.from(confidence, (c) => binOf(c, bins));
  const rows = binned(cells, confidence, new Uint8Array(n), bins); // how many, and what they say
  const eces = [], shares = rows.map(() => []);
  for (let s = 0; s < SAMPLES; s++) {
    const right = new Uint32Array(bins);
    for (let i = 0; i < n; i++) if (next() < confidence[i]) right[cells[i]]++;
    eces.push(rows.reduce((sum, row, bin) => sum + Math.abs(right[bin] - row.says), 0) / n);
    rows.forEach((row, bin) => row.n && shares[bin].push(right[bin] / row.n));
  }
  const at = (values, share) => {
    values.sort((a, b) => a - b);
    return values[Math.min(values.length - 1, Math.floor(share * values.length))];
  };
  const band = shares.map((values) => values.length && [at(values, 0.025), at(values, 0.975)]);
  return { ece: at(eces, 0.95), band };
}

// What keeping answers from a threshold on costs, in errors; a check costs 1 / cost of one.
export function kept(confidence, correct, threshold, cost) {
  let count = 0, wrong = 0;
  for (let i = 0; i < confidence.length; i++) {
    if (confidence[i] < threshold) continue;
    count++;
    wrong += 1 - correct[i];
  }
  const n = confidence.length;
  return { coverage: count / n, risk: count ? wrong / count : 0, cost: (wrong + (n - count) / cost) / n };
}

const SVG = "http://www.w3.org/2000/svg";
const BOX = { x: 44, y: 10, size: 280 };
const toX = (p) => BOX.x + p * BOX.size;
const toY = (p) => BOX.y + (1 - p) * BOX.size;
const percent = (p) => `${Math.round(100 * p)} %`;

function make(parent, name, attributes = {}, text = "") {
  const space = name.startsWith("svg:") ? SVG : "http://www.w3.org/1999/xhtml";
  const node = document.createElementNS(space, name.replace("svg:", ""));
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

const CSS = `
.medcal-lab { display: flex; flex-wrap: wrap; gap: 1em; font: 15px/1.4 system-ui, sans-serif; }
.medcal-lab svg { width: min(100%, 380px); touch-action: none; }
.medcal-lab svg text { font-size: 12px; fill: currentColor; }
.medcal-lab .handle { fill: #4B2067; stroke: white; stroke-width: 2; cursor: ns-resize; }
.medcal-lab .handle:focus-visible { stroke: #8BC34A; stroke-width: 4; outline: none; }
.medcal-lab label { display: grid; grid-template-columns: 12em 1fr 4.5em; gap: .5em; }
.medcal-lab .side { flex: 1 1 20em; min-width: 0; }
.medcal-lab input { width: 100%; min-width: 0; }
.medcal-lab table { border-collapse: collapse; margin-top: .7em; }
.medcal-lab th { text-align: left; font-weight: normal; padding-right: 1em; }
.medcal-lab td { font-weight: bold; font-variant-numeric: tabular-nums; padding-right: 1em; }`;

// Controls: name, label, least, most, step, how a value is written. Sizes are places in a list.
const CONTROLS = [
  ["n", "answers", 0, SIZES.length - 1, 1, (v) => v.toLocaleString("en")],
  ["bins", "bins", 2, 50, 1, String],
  ["temperature", "temperature T", 0.25, 5, 0.05, (v) => v.toFixed(2)],
  ["threshold", "keep answers from", 0, 1, 0.01, percent],
  ["cost", "checks worth one error", 2, 50, 1, String],
];

// Draw the lab into an element. `changed` hears of every new setting.
export function mount(el, start = {}, changed = () => {}) {
  const settings = { ...DEFAULTS, ...start, right: [...(start.right ?? DEFAULTS.right)] };
  const root = make(el, "div", { class: "medcal-lab" });
  make(root, "style", {}, CSS);
  const svg = make(root, "svg:svg", { viewBox: "0 0 352 340", role: "group",
    "aria-label": "reliability diagram: drag the dots, or move them with the arrow keys" });
  const back = make(svg, "svg:g"), side = make(root, "div", { class: "side" });
  const front = make(svg, "svg:g");
  axes(svg);

  const handles = LEVELS.map((level, k) => {
    const handle = make(front, "svg:circle", { class: "handle", r: 9, tabindex: 0, role: "slider",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" });
    const put = (value) => {
      settings.right[k] = Math.min(1, Math.max(0, value));
      redraw();
    };
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = svg.getBoundingClientRect();
      const y = ((event.clientY - box.top) / box.height) * 340;
      put(Math.round(100 * (1 - (y - BOX.y) / BOX.size)) / 100);
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowLeft: -0.01,
        PageUp: 0.1, PageDown: -0.1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      put(Math.round(100 * (settings.right[k] + step)) / 100);
    });
    return handle;
  });

  const written = {}, sliders = {};
  for (const [name, label, min, max, step, write] of CONTROLS) {
    const row = make(side, "label", {}, label);
    const value = name === "n" ? SIZES.indexOf(settings.n) : settings[name];
    const input = make(row, "input", { type: "range", min, max, step, name });
    input.value = value;
    written[name] = make(row, "output");
    sliders[name] = [input, write];
    input.addEventListener("input", () => {
      settings[name] = name === "n" ? SIZES[Number(input.value)] : Number(input.value);
      redraw();
    });
  }
  const again = make(side, "button", { type: "button" }, "Another sample");
  again.addEventListener("click", () => {
    settings.sample++;
    redraw();
  });
  const table = make(side, "table");
  const cells = Object.fromEntries(
    ["ECE", "by luck alone up to", "Brier score", "log loss", "says", "is right"].map((name) => {
      const row = make(table, "tr");
      make(row, "th", { scope: "row" }, name);
      return [name, make(row, "td")];
    })
  );
  const words = make(side, "p", { "aria-live": "polite" });

  function redraw() {
    const began = performance.now();
    const { confidence, correct } = answers(settings);
    const now = measures(confidence, correct, settings.bins);
    const luck = chance(confidence, settings.bins);
    const { coverage, risk, cost } = kept(confidence, correct, settings.threshold, settings.cost);
    back.replaceChildren();
    luck.band.forEach((band, bin) => {
      if (!band) return;
      const [low, high] = band, width = BOX.size / settings.bins;
      make(back, "svg:rect", { x: BOX.x + bin * width, width, y: toY(high),
        height: Math.max(2, BOX.size * (high - low)), fill: "#8886" });
    });
    for (const row of now.table) {
      if (!row.n) continue;
      make(back, "svg:rect", { x: toX(row.says / row.n) - 14, y: toY(row.right / row.n) - 1.5,
        width: 28, height: 3, fill: "#5a9216" });
    }
    const x = toX(settings.threshold);
    make(back, "svg:line", { x1: x, x2: x, y1: toY(0), y2: toY(1), stroke: "currentColor",
      "stroke-dasharray": "2 4" });
    handles.forEach((handle, k) => {
      const says = tempered(LEVELS[k], settings.temperature);
      handle.setAttribute("cx", toX(says));
      handle.setAttribute("cy", toY(settings.right[k]));
      handle.setAttribute("aria-label", `right when it says ${percent(says)}`);
      handle.setAttribute("aria-valuenow", Math.round(100 * settings.right[k]));
      handle.setAttribute("aria-valuetext", percent(settings.right[k]));
    });
    for (const [name, [input, write]] of Object.entries(sliders)) {
      written[name].textContent = write(settings[name]);
      input.setAttribute("aria-valuetext", written[name].textContent);
    }
    const told = [now.ece, luck.ece, now.brier, now.logLoss].map((v) => v.toFixed(3));
    told.push(percent(now.confidence), percent(now.accuracy));
    Object.values(cells).forEach((cell, k) => (cell.textContent = told[k]));
    words.textContent =
      `It keeps ${percent(coverage)} of the answers, ${percent(risk)} of them wrong; the others ` +
      `are checked. Cost per answer: ${cost.toFixed(3)} errors.`;
    root.dataset.milliseconds = (performance.now() - began).toFixed(1);
    changed(settings);
  }
  redraw();
  return root;
}

function axes(svg) {
  const line = { stroke: "currentColor", fill: "none" };
  make(svg, "svg:path", { ...line, d: `M${toX(0)} ${toY(1)}V${toY(0)}H${toX(1)}` });
  make(svg, "svg:path", { ...line, d: `M${toX(0)} ${toY(0)}L${toX(1)} ${toY(1)}`,
    "stroke-dasharray": "5 4", "pointer-events": "none" });
  for (const p of [0, 0.5, 1]) {
    make(svg, "svg:text", { x: toX(p), y: toY(0) + 16, "text-anchor": "middle" }, percent(p));
    make(svg, "svg:text", { x: BOX.x - 5, y: toY(p) + 4, "text-anchor": "end" }, percent(p));
  }
  make(svg, "svg:text", { x: toX(0.5), y: toY(0) + 34, "text-anchor": "middle" }, "it says");
  make(svg, "svg:text", { x: BOX.x + 6, y: toY(1) + 12 }, "it is right");
}

export default {
  render({ model, el }) {
    mount(el, model.get("settings"), (settings) => {
      model.set("settings", structuredClone(settings));
      model.save_changes();
    });
  },
};
