// The reliability lab: a forecaster to be drawn by hand, with its numbers, in a notebook and on a page.

const LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9], HALF = 0.1, DRAWS = 1000, LUCKY = 0.16, TAIL = (1 - 0.95) / 2;
const DEFAULTS = { control: "right", numbers: ["ece", "gap"], right: [0.22, 0.38, 0.5, 0.58, 0.66],
  n: 451, bins: 15, temperature: 1, threshold: 0.5, cost: 5, sample: 1, prevalence: 0.46,
  base_rate: 0.1, sensitivity: 0.9, specificity: 0.9 };
const SIZES = [20, 50, 100, 200, 451, 1000, 2000, 5000];
const RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5];

// 2,390 readings of mammograms with and without a cancer, lowest scores first (VIPER, sub-study
// screeningHighP, 455 days; scores below 30, 60, 101, 120, 140, 160, 180, and above; CC0).
// Gallas et al., J. Med. Imag. 6(1) 015501, 2019.
export const SCORES = [[43, 176], [99, 275], [118, 258], [104, 151], [170, 184], [169, 132],
  [182, 86], [205, 38]];

// Random numbers with a seed (mulberry32): the luck of the draw stays as dots are dragged.
function randomness(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal numbers (Box and Muller), enough for fifty bins that hold answers.
const next = randomness(77);
const NORMAL = Float64Array.from({ length: 51 * DRAWS }, () =>
  Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));

// σ(logit(p) / T)
export const tempered = (p, temperature) => 1 / (1 + ((1 - p) / p) ** (1 / temperature));

// The answers of a forecaster, a row each: what it says, and whether it is right. A dot stands for
// a fifth of the answers, whose confidences lie within 0.1 of it. How often these are right rises
// with the confidence, as it does on the diagonal, and is the dot's height on average.
export function answers(settings) {
  const { right, n, temperature, sample } = { ...DEFAULTS, ...settings }, draw = randomness(sample);
  return Array.from({ length: n }, (_, i) => {
    const k = i % LEVELS.length, shift = (2 * draw() - 1) * HALF;
    const slope = Math.min(1, right[k] / HALF, (1 - right[k]) / HALF);
    const p = Math.max(LEVELS[k] + shift, 1e-6);
    return { says: tempered(p, temperature), n: 1, right: Number(draw() < right[k] + slope * shift) };
  });
}

// The readings of SCORES if the share with a cancer were another. What is said is the share with a
// cancer among like scores where it was measured: there, it is calibrated.
export function readings(prevalence) {
  const total = (k) => sum(SCORES, (row) => row[k]), ill = total(0), healthy = total(1);
  return SCORES.map(([with_, without]) => {
    const right = (prevalence * with_) / ill, n = right + ((1 - prevalence) * without) / healthy;
    return { says: with_ / (with_ + without), n, right };
  });
}

// The bin of a confidence among equal ones: (low, high], 0 in the first.
export function binOf(c, bins) {
  let bin = 0;
  while (bin + 1 < bins && c > (bin + 1) / bins) bin++;
  return bin;
}

const sum = (rows, value) => rows.reduce((total, row, k) => total + value(row, k), 0);

// ECE, Brier score, log loss, accuracy and mean confidence, and the table of bins; without a number
// of bins each row is one of its own.
export function measures(rows, bins = 0) {
  const table = Array.from({ length: bins || rows.length }, () => ({ n: 0, says: 0, square: 0, right: 0 }));
  for (const [k, { says, n, right }] of rows.entries()) {
    const bin = table[bins ? binOf(says, bins) : k];
    bin.n += n;
    bin.says += n * says;
    bin.square += n * says * says;
    bin.right += right;
  }
  const n = sum(rows, (row) => row.n), mean = (value) => sum(rows, value) / n;
  const log = (p) => Math.log(Math.min(Math.max(p, 1e-12), 1 - 1e-12));
  return {
    n, table, ece: sum(table, (bin) => Math.abs(bin.right - bin.says)) / n,
    brier: mean(({ says, n, right }) => right * (1 - says) ** 2 + (n - right) * says ** 2),
    logLoss: mean(({ says, n, right }) => -right * log(says) - (n - right) * log(1 - says)),
    accuracy: mean((row) => row.right), confidence: mean((row) => row.n * row.says),
  };
}

// How often a right answer has the higher confidence of a right and a wrong one; ties count half.
export function auroc(rows) {
  const sorted = [...rows].sort((a, b) => a.says - b.says);
  let wrong = 0, pairs = 0;
  for (let i = 0; i < sorted.length;) {
    let tied = 0, right = 0;
    for (const { says } = sorted[i]; i < sorted.length && sorted[i].says === says; i++) {
      right += sorted[i].right;
      tied += sorted[i].n - sorted[i].right;
    }
    pairs += right * (wrong + tied / 2);
    wrong += tied;
  }
  return pairs / (wrong * sum(rows, (row) => row.right));
}

// Where a condition that holds at `low` ends.
function boundary(low, high, inside, halvings = 20) {
  for (let i = 0; i < halvings; i++) {
    const middle = (low + high) / 2;
    [low, high] = inside(middle) ? [middle, high] : [low, middle];
  }
  return (low + high) / 2;
}

// The 95 % interval of the ECE as medcal_nb.measure.ece_interval has it (a test inverted along a
// least favourable path), and the ECE that 95 of 100 calibrated forecasters stay below.
export function interval(table, normal = NORMAL) {
  const rows = table.filter((row) => row.n), k = rows.length, total = sum(rows, (row) => row.n);
  const bins = rows.map(({ n, says, square, right }) => {
    const weight = n / total, share = (right + 1) / (n + 2), cost = (share * (1 - share)) / total;
    // right and wrong answers in a bin refute an accuracy of 0 or 1, at which there is no noise
    const least = (0.5 * (right / n) * (1 - right / n)) / n;
    return { n, weight, cost, least, first: says / n, second: square / n, gap: (right - says) / n };
  });
  const size = (gaps) => sum(bins, (bin, b) => bin.weight * Math.abs(gaps[b]));
  const variance = ({ n, first, second }, gap) =>
    Math.max(first - second + gap * (1 - 2 * first) - gap * gap, 0) / n;
  const ece = size(bins.map((bin) => bin.gap));
  const mean = Math.abs(sum(bins, (bin) => bin.weight * bin.gap));
  // the share of answers in each bin is drawn, too
  const alone = bins.map((bin) => Math.sqrt(Math.max(bin.gap ** 2 - variance(bin, bin.gap), 0)));
  const between = sum(bins, (bin, b) => bin.weight * alone[b] ** 2) - size(alone) ** 2;
  const spread = Math.sqrt(Math.max(0, between) / total);
  // mean sizes of gaps, and sizes of mean gaps, that true gaps would show
  const drawn = (gaps, drift = spread, upper = false) => {
    const sizes = new Float64Array(DRAWS), means = new Float64Array(DRAWS);
    bins.forEach((bin, b) => {
      const noise = Math.max(variance(bin, gaps[b]), upper ? bin.least : 0);
      const sd = bin.weight * Math.sqrt(noise), gap = bin.weight * gaps[b];
      for (let d = 0, at = DRAWS * b; d < DRAWS; d++, at++) {
        const seen = normal[at] * sd + gap;
        sizes[d] += Math.abs(seen);
        means[d] += seen;
      }
    });
    for (let d = 0, at = DRAWS * k; d < DRAWS; d++, at++) {
      sizes[d] += drift * normal[at];
      means[d] = Math.abs(means[d]) + drift * normal[at];
    }
    return [sizes, means];
  };
  // how often gaps show as much as was seen, by whichever of the two stands out more
  const exceeded = (gaps) => {
    const scales = drawn(gaps).map((values) => {
      const centre = sum(values, (v) => v) / DRAWS;
      const square = sum(values, (v) => (v - centre) ** 2) / DRAWS;
      return { values, centre, sd: Math.max(Math.sqrt(square), 1e-12) };
    });
    const [sizes, means] = scales, of = (scale, v) => (v - scale.centre) / scale.sd;
    const seen = Math.max(of(sizes, ece), of(means, mean));
    let count = 0;
    for (let d = 0; d < DRAWS; d++)
      count += Math.max(of(sizes, sizes.values[d]), of(means, means.values[d])) >= seen;
    return count / DRAWS;
  };
  // the gaps seen, softly thresholded to a size
  const cut = (by) => bins.map(({ gap, cost }) =>
    Math.sign(gap) * Math.max(Math.abs(gap) - by * cost, 0));
  const most = Math.max(...bins.map((bin) => Math.abs(bin.gap) / bin.cost));
  const likeliest = (wanted) => cut(boundary(0, most, (by) => size(cut(by)) >= wanted, 60));
  // one gap in all bins, on the side seen as far as there is room
  const even = (wanted) => bins.map((bin) => {
    const sign = bin.gap > 0 ? 1 : -1, room = sign > 0 ? 1 - bin.first : bin.first;
    if (wanted > room && bin.gap ** 2 < variance(bin, 0)) return -sign * Math.min(wanted, 1 - room);
    return sign * Math.min(wanted, room);
  });
  const calm = bins.map(() => 0), sorted = (drift) => drawn(calm, drift)[0].sort();
  const luck = sorted(0)[0.95 * DRAWS], lucky = sorted(), at = Math.floor(LUCKY * (DRAWS - 1));
  const least = lucky[at] + (LUCKY * (DRAWS - 1) - at) * (lucky[at + 1] - lucky[at]);
  const seen = Math.max(ece, least) + 0.5 / total; // errors come whole
  const low = exceeded(calm) >= TAIL ? 0 : boundary(0, ece, (t) => exceeded(likeliest(t)) < TAIL);
  const inside = (t) => drawn(even(t), spread, true)[0].filter((ece) => ece <= seen).length / DRAWS >= TAIL;
  const high = size(even(boundary(0, 1, inside)));
  return { low, high: Math.max(low, high), luck };
}

// Where 95 of 100 samples of n answers lie that are right with chance p: quantiles of the binomial.
export function band(n, p) {
  const chance = Math.min(Math.max(p, 1e-9), 1 - 1e-9);
  let k = 0, log = n * Math.log1p(-chance), below = Math.exp(log);
  return [0.025, 0.975].map((share) => {
    while (below < share && k < n) {
      log += Math.log(((n - k) / (k + 1)) * (chance / (1 - chance)));
      below += Math.exp(log);
      k++;
    }
    return k / n;
  });
}

// What keeping answers from a threshold on and checking the others costs, in checks; an error that
// is kept costs `errorCost` of them.
export function selection(rows, threshold, errorCost) {
  const all = sum(rows, (row) => row.n), those = rows.filter((row) => row.says >= threshold);
  const n = sum(those, (row) => row.n), wrong = n - sum(those, (row) => row.right);
  return { coverage: n / all, risk: n ? wrong / n : 0, cost: (errorCost * wrong + all - n) / all };
}

// Of 1,000 patients: those who have it and get a yes, and those who get one and do not have it.
export function yesAnswers({ base_rate, sensitivity, specificity }) {
  const found = 1000 * base_rate * sensitivity, flagged = 1000 * (1 - base_rate) * (1 - specificity);
  return { found, flagged, share: found / (found + flagged) };
}

const BOX = { x: 44, y: 10, size: 280 };
const toX = (p) => BOX.x + p * BOX.size, toY = (p) => BOX.y + (1 - p) * BOX.size;
// with the places that tell a share from none and from all, as the study writes it
export const percent = (share) => {
  const texts = [0, 1, 2].map((places) => (100 * share).toFixed(places));
  const isSo = (text) => Math.abs(text - 100 * share) < 1e-7 || (text > 0 && text < 100);
  return `${texts.find(isSo) ?? (share < 0.5 ? "< 0.01" : "> 99.99")} %`;
};
const set = (node, attributes) =>
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));

export function make(parent, name, attributes = {}, text = "") {
  const node = document.createElementNS(parent.namespaceURI, name); // SVG inside SVG
  set(node, attributes);
  node.textContent = text;
  parent.append(node);
  return node;
}

// The one slider of a lab: label, least, most, step, how a value is written; or places in a list.
const fine = (p) => `${Number((100 * p).toPrecision(3))} %`;
const CONTROLS = {
  n: { label: "answers", list: SIZES, write: (v) => v.toLocaleString("en"), sample: true },
  bins: { label: "bins", min: 2, max: 50, step: 1, write: String, sample: true },
  temperature: { label: "temperature T", min: 0.25, max: 5, step: 0.05, write: (v) => v.toFixed(2) },
  threshold: { label: "keep answers from", min: 0, max: 1, step: 0.01, write: percent },
  base_rate: { label: "patients who have it", list: RATES, write: fine },
  prevalence: { label: "women with a cancer", min: 0.01, max: 0.6, step: 0.01, write: percent },
};
const points = (p) => `${p < -0.005 ? "−" : p > 0.005 ? "+" : ""}${Math.abs(Math.round(100 * p))} points`;
const NUMBERS = {
  ece: ["ECE", (now) => now.ece.toFixed(3)],
  ece_interval: ["ECE [95 % interval]", (now) =>
    `${now.ece.toFixed(3)} [${now.interval.low.toFixed(3)}, ${now.interval.high.toFixed(3)}]`],
  luck: ["95 of 100 calibrated ones stay below", (now) => now.interval.luck.toFixed(3)],
  gap: ["mean confidence − accuracy", (now) => points(now.confidence - now.accuracy)],
  claim: ["mean confidence − share with a cancer", (now) => points(now.confidence - now.accuracy)],
  accuracy: ["accuracy", (now) => percent(now.accuracy)],
  log_loss: ["log loss", (now) => now.logLoss.toFixed(3)],
  auroc: ["AUROC", (now) => now.auroc.toFixed(3)],
  cost: ["cost per answer, in checks", (now) => now.selection.cost.toFixed(3)],
  coverage: ["answers kept", (now) => percent(now.selection.coverage)],
  risk: ["of the kept, wrong", (now) => percent(now.selection.risk)],
  yes: ["patients of 1,000 with a yes", (now) => (now.yes.found + now.yes.flagged).toFixed(0)],
  ppv: ["a yes is right in", (now) => fine(now.yes.share)],
};
const STEPS = { ArrowUp: 1, ArrowRight: 1, PageUp: 5, ArrowDown: -1, ArrowLeft: -1, PageDown: -5 };
const LINE = { stroke: "currentColor", fill: "none" }, DOTTED = { ...LINE, "stroke-dasharray": "2 4" };
const DIAGONAL = { ...LINE, "stroke-dasharray": "6 4" };
const GREY = { fill: "#8886" }, GREEN = { fill: "#5a9216" }, DOT = { class: "dot" };

// The axes of a reliability diagram, and a place behind them for `drawBins`.
export function diagram(parent, label, role = "group", up = "right") {
  parent.insertAdjacentHTML("beforeend", "<svg></svg>");
  const svg = parent.lastElementChild;
  set(svg, { viewBox: "0 0 352 340", role, "aria-label": label });
  const back = make(svg, "g");
  make(svg, "path", { ...LINE, d: `M${toX(0)} ${toY(1)}V${toY(0)}H${toX(1)}` });
  make(svg, "path", { ...DIAGONAL, d: `M${toX(0)} ${toY(0)}L${toX(1)} ${toY(1)}`, "pointer-events": "none" });
  for (const p of [0, 0.5, 1]) {
    make(svg, "text", { x: toX(p), y: toY(0) + 16, "text-anchor": "middle" }, percent(p));
    make(svg, "text", { x: BOX.x - 5, y: toY(p) + 4, "text-anchor": "end" }, percent(p));
  }
  make(svg, "text", { x: toX(0.5), y: toY(0) + 34, "text-anchor": "middle" }, "confidence");
  make(svg, "text", { x: BOX.x + 6, y: toY(1) + 12 }, up);
  return { svg, back };
}

// Each bin that is counted, as wide as it is: a grey box that 95 of 100 calibrated samples fall in,
// and a green dash where this one does.
export function drawBins(back, table) {
  back.replaceChildren();
  table.forEach(({ n, says, right }, bin) => {
    if (!n) return;
    const [low, high] = band(n, says / n), width = BOX.size / table.length - 1;
    const place = { x: toX(bin / table.length) + 0.5, width }, height = Math.max(2, BOX.size * (high - low));
    make(back, "rect", { ...place, y: toY(high), height, ...GREY });
    make(back, "rect", { ...place, y: toY(right / n) - 1.5, height: 3, ...GREEN });
  });
}

// What the marks of a diagram are: [shape, its attributes, words].
const SHAPES = {
  dot: ["circle", { cx: 12, cy: 8, r: 6, ...DOT }], green: ["rect", { x: 2, y: 6.5, width: 20, height: 3, ...GREEN }],
  grey: ["rect", { x: 2, y: 1, width: 20, height: 14, ...GREY }], cross: ["path", { class: "cross", d: "M6 2l12 12m0-12l-12 12" }],
  diagonal: ["path", { d: "M2 15L22 1", ...DIAGONAL }], line: ["path", { d: "M12 0V16", ...DOTTED }],
};
export function legend(parent, words) {
  const list = make(parent, "div", { class: "medcal-key", role: "list" });
  for (const [shape, text] of Object.entries(words)) {
    const item = make(list, "div", { role: "listitem" }), [name, attributes] = SHAPES[shape];
    item.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 24 16" aria-hidden="true"></svg>`);
    make(item.lastElementChild, name, attributes);
    make(item, "span", {}, text);
  }
}
const CALIBRATED = "on this line it is calibrated";
export const BINS = { green: "answers of one bin: how many of them are right in this sample",
  grey: "where the green dash would be in 95 of 100 samples of a calibrated forecaster",
  diagonal: CALIBRATED };

// Keys pressed on a control inside are no commands of JupyterLab, where "a" inserts a cell.
export const own = (root) => root.querySelectorAll("input, button, a, summary, [tabindex]").forEach(
  (node) => node.setAttribute("data-lm-suppress-shortcuts", ""));

// A forecaster with five dots: returns what draws it.
function forecaster(root, side, settings, changed) {
  const drags = settings.control === "right";
  const { svg, back } = diagram(root, `reliability diagram${drags ? ": drag the dots, or use the arrow keys" : ""}`);
  const line = settings.control === "threshold" && make(svg, "line", { y1: toY(0), y2: toY(1), ...DOTTED });
  const handles = LEVELS.map((level, k) => {
    const dot = make(svg, "circle", { ...DOT, r: 7 });
    if (!drags) return { dot };
    const handle = make(svg, "circle", { class: "handle", r: 13, tabindex: 0, role: "slider",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" });
    const put = (value) => {
      settings.right[k] = Math.min(100, Math.max(0, Math.round(100 * value))) / 100;
      changed();
    };
    // a finger on a dot moves the dot, elsewhere on the picture the page (touch-action knows no parts of an SVG)
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = svg.getBoundingClientRect();
      put(1 - (((event.clientY - box.top) / box.height) * 340 - BOX.y) / BOX.size);
    });
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS)) return;
      event.preventDefault();
      put(settings.right[k] + STEPS[event.key] / 100);
    });
    return { dot, handle };
  });
  const dot = "answers around one confidence: how often they are right in the long run";
  legend(side, { dot: drags ? `${dot}; drag it` : dot, ...BINS,
    ...(line && { line: "answers to the right are kept, the others checked" }) });
  return () => {
    const rows = answers(settings), now = measures(rows, settings.bins);
    drawBins(back, now.table);
    if (line) set(line, { x1: toX(settings.threshold), x2: toX(settings.threshold) });
    handles.forEach(({ dot, handle }, k) => {
      const says = tempered(LEVELS[k], settings.temperature), share = settings.right[k];
      for (const node of [dot, handle ?? dot]) set(node, { cx: toX(says), cy: toY(share) });
      if (handle) set(handle, { "aria-label": `right at a confidence of ${percent(says)}`,
        "aria-valuenow": Math.round(100 * share), "aria-valuetext": percent(share) });
    });
    const wanted = settings.numbers.join(), { threshold, cost } = settings;
    return { ...now, selection: selection(rows, threshold, cost), auroc: wanted.includes("auroc") ? auroc(rows) : 0,
      interval: /interval|luck/.test(wanted) ? interval(now.table) : null };
  };
}

// Readings of like scores, at any prevalence.
function mammograms(root, side, settings) {
  const { svg, back } = diagram(root, "reliability diagram by prevalence", "img", "with a cancer");
  legend(side, { dot: "like scores: how many of these women have a cancer; the larger, the more scores",
    diagonal: CALIBRATED });
  return () => {
    const rows = readings(settings.prevalence);
    back.replaceChildren();
    for (const { says, n, right } of rows)
      make(back, "circle", { ...DOT, cx: toX(says), cy: toY(right / n), r: 3 + 20 * Math.sqrt(n) });
    return { ...measures(rows), auroc: auroc(rows) };
  };
}

// A hundred yes answers: how many are right.
function hundred(root, side, settings) {
  root.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 352 340" role="img"></svg>`);
  const svg = root.lastElementChild;
  legend(side, { dot: "a yes to somebody who has it", cross: "a yes to somebody who does not: a false alarm" });
  return () => {
    const yes = yesAnswers(settings), right = Math.round(100 * yes.share);
    svg.replaceChildren();
    svg.setAttribute("aria-label", `Of 100 yes answers ${right} are right`);
    for (let k = 0; k < 100; k++) {
      const x = 26 + 33 * (k % 10), y = 22 + 33 * Math.floor(k / 10);
      if (k < right) make(svg, "circle", { ...DOT, cx: x, cy: y, r: 10 });
      else make(svg, "path", { class: "cross", d: `M${x - 9} ${y - 9}l18 18m0-18l-18 18` });
    }
    return { yes };
  };
}
const KINDS = { prevalence: mammograms, base_rate: hundred };

// Draw the lab into an element: a picture, one control, two numbers, what the marks are.
export function mount(el, start = {}) {
  const settings = { ...DEFAULTS, ...start, right: [...(start.right ?? DEFAULTS.right)] };
  const root = make(el, "div", { class: "medcal-lab" }), side = make(root, "div", { class: "side" });
  const control = CONTROLS[settings.control];
  if (control) {
    const row = make(side, "label", {}, control.label), { list, write, min = 0, step = 1 } = control;
    const input = make(row, "input", { type: "range", min, max: control.max ?? list.length - 1, step,
      name: settings.control }), output = make(row, "output");
    const value = settings[settings.control];
    input.value = list ? list.indexOf(value) : value;
    const writeValue = () => {
      output.textContent = write(settings[settings.control]);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      settings[settings.control] = list ? list[Number(input.value)] : Number(input.value);
      writeValue();
      redraw();
    });
    writeValue();
  }
  if (control?.sample) make(side, "button", { type: "button" }, "Another sample").addEventListener("click", () => {
    settings.sample++;
    redraw();
  });
  // no list of definitions: JupyterLab lays those out its own way
  const numbers = make(side, "div", { class: "numbers", "aria-live": "polite" });
  const cells = settings.numbers.map((name) => {
    const cell = make(numbers, "div");
    make(cell, "div", {}, NUMBERS[name][0]);
    return [make(cell, "div", { class: "number" }), NUMBERS[name][1]];
  });
  const draw = (KINDS[settings.control] ?? forecaster)(root, side, settings, () => redraw());
  root.append(side); // the picture comes first
  function redraw() {
    const began = performance.now(), now = draw();
    for (const [cell, write] of cells) cell.textContent = write(now);
    root.dataset.milliseconds = (performance.now() - began).toFixed(1);
  }
  own(root);
  redraw();
}
