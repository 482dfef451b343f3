// The reliability lab: a forecaster to be drawn by hand, with its numbers. Plain ES module, used as
// an anywidget in a notebook and by itself on a static page, with the style of lab.css put in.

const LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9], DRAWS = 1000, LUCKY = 0.16, TAIL = (1 - 0.95) / 2;
const DEFAULTS = { right: [0.22, 0.38, 0.5, 0.58, 0.66], n: 451, bins: 15, temperature: 1,
  threshold: 0.5, cost: 5, sample: 1 };
const SIZES = [20, 50, 100, 200, 451, 1000, 2000, 5000];

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

// Standard normal numbers (Box and Muller), enough for ten bins that hold answers.
const next = randomness(77);
const NORMAL = Float64Array.from({ length: 11 * DRAWS }, () =>
  Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));

// σ(logit(p) / T)
export const tempered = (p, temperature) => 1 / (1 + ((1 - p) / p) ** (1 / temperature));

// What a forecaster says, how often, and how often it is right: a row for each thing it says.
export function answers(settings) {
  const { right, n, temperature, sample } = { ...DEFAULTS, ...settings }, draw = randomness(sample);
  const rows = LEVELS.map((level) => ({ says: tempered(level, temperature), n: 0, right: 0 }));
  for (let i = 0; i < n; i++) {
    const k = i % LEVELS.length;
    rows[k].n++;
    rows[k].right += draw() < right[k];
  }
  return rows;
}

// The bin of a confidence among equal ones: (low, high], 0 in the first.
export function binOf(c, bins) {
  let bin = 0;
  while (bin + 1 < bins && c > (bin + 1) / bins) bin++;
  return bin;
}

const sum = (rows, value) => rows.reduce((total, row, k) => total + value(row, k), 0);

// ECE, Brier score, log loss, accuracy and mean confidence, and the table of bins.
export function measures(rows, bins) {
  const table = Array.from({ length: bins }, () => ({ n: 0, says: 0, square: 0, right: 0 }));
  for (const { says, n, right } of rows) {
    const bin = table[binOf(says, bins)];
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
    return { n, weight, cost, first: says / n, second: square / n, gap: (right - says) / n };
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
  const drawn = (gaps, drift = spread) => {
    const sd = bins.map((bin, b) => Math.sqrt(variance(bin, gaps[b]))), sizes = [], means = [];
    for (let d = 0; d < DRAWS; d++) {
      const shift = drift * normal[DRAWS * k + d], seen = bins.map((bin, b) =>
        bin.weight * (normal[DRAWS * b + d] * sd[b] + gaps[b]));
      sizes.push(sum(seen, Math.abs) + shift);
      means.push(Math.abs(sum(seen, (gap) => gap)) + shift);
    }
    return [sizes, means];
  };
  // how often gaps show as much as was seen, by whichever of the two stands out more
  const exceeded = (gaps) => {
    const [sizes, means] = drawn(gaps).map((values, i) => {
      const centre = sum(values, (v) => v) / DRAWS;
      const sd = Math.max(Math.sqrt(sum(values, (v) => (v - centre) ** 2) / DRAWS), 1e-12);
      return [i ? mean : ece, ...values].map((v) => (v - centre) / sd);
    });
    const most = sizes.map((size, d) => Math.max(size, means[d])), seen = most.shift();
    return most.filter((value) => value >= seen).length / DRAWS;
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
  const calm = bins.map(() => 0), sorted = (drift) => drawn(calm, drift)[0].sort((a, b) => a - b);
  const luck = sorted(0)[0.95 * DRAWS], lucky = sorted(), at = Math.floor(LUCKY * (DRAWS - 1));
  const least = lucky[at] + (LUCKY * (DRAWS - 1) - at) * (lucky[at + 1] - lucky[at]);
  const seen = Math.max(ece, least) + 0.5 / total; // errors come whole
  const low = exceeded(calm) >= TAIL ? 0 : boundary(0, ece, (t) => exceeded(likeliest(t)) < TAIL);
  const inside = (t) => drawn(even(t))[0].filter((ece) => ece <= seen).length / DRAWS >= TAIL;
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

// What keeping answers from a threshold on costs, in errors; a check costs 1 / cost of one.
export function kept(rows, threshold, cost) {
  const all = sum(rows, (row) => row.n), those = rows.filter((row) => row.says >= threshold);
  const n = sum(those, (row) => row.n), wrong = n - sum(those, (row) => row.right);
  return { coverage: n / all, risk: n ? wrong / n : 0, cost: (wrong + (all - n) / cost) / all };
}

const BOX = { x: 44, y: 10, size: 280 };
const toX = (p) => BOX.x + p * BOX.size, toY = (p) => BOX.y + (1 - p) * BOX.size;
export const percent = (p) => `${Math.round(100 * p)} %`;
const set = (node, attributes) =>
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));

export function make(parent, name, attributes = {}, text = "") {
  const node = document.createElementNS(parent.namespaceURI, name); // SVG inside SVG
  set(node, attributes);
  node.textContent = text;
  parent.append(node);
  return node;
}

// name, label, least, most, step, how a value is written; sizes are places in a list
const CONTROLS = [
  ["n", "answers", 0, SIZES.length - 1, 1, (v) => v.toLocaleString("en")],
  ["bins", "bins", 2, 50, 1, String],
  ["temperature", "temperature T", 0.25, 5, 0.05, (v) => v.toFixed(2)],
  ["threshold", "keep answers from", 0, 1, 0.01, percent],
  ["cost", "checks worth one error", 2, 50, 1, String],
];
const TOLD = ["ECE [95 % interval]", "by luck alone up to", "Brier score", "log loss", "says", "is right"];
const STEPS = { ArrowUp: 1, ArrowRight: 1, PageUp: 5, ArrowDown: -1, ArrowLeft: -1, PageDown: -5 };

// The axes of a reliability diagram, and a place behind them for `drawBins`.
export function diagram(parent, label, role = "group") {
  parent.insertAdjacentHTML("beforeend", "<svg></svg>");
  const svg = parent.lastElementChild;
  set(svg, { viewBox: "0 0 352 340", role, "aria-label": label });
  const back = make(svg, "g"), line = { stroke: "currentColor", fill: "none" };
  make(svg, "path", { ...line, d: `M${toX(0)} ${toY(1)}V${toY(0)}H${toX(1)}` });
  make(svg, "path", { ...line, d: `M${toX(0)} ${toY(0)}L${toX(1)} ${toY(1)}`,
    "stroke-dasharray": "5 4", "pointer-events": "none" });
  for (const p of [0, 0.5, 1]) {
    make(svg, "text", { x: toX(p), y: toY(0) + 16, "text-anchor": "middle" }, percent(p));
    make(svg, "text", { x: BOX.x - 5, y: toY(p) + 4, "text-anchor": "end" }, percent(p));
  }
  make(svg, "text", { x: toX(0.5), y: toY(0) + 34, "text-anchor": "middle" }, "says");
  make(svg, "text", { x: BOX.x + 6, y: toY(1) + 12 }, "is right");
  return { svg, back };
}

// Per bin, where its answers are on average: a grey box that 95 of 100 calibrated samples fall in,
// and a mark where this one does.
export function drawBins(back, table) {
  back.replaceChildren();
  table.forEach(({ n, says, right }) => {
    if (!n) return;
    const [low, high] = band(n, says / n), place = { x: toX(says / n) - 14, width: 28 };
    const height = Math.max(2, BOX.size * (high - low));
    make(back, "rect", { ...place, y: toY(high), height, fill: "#8886" });
    make(back, "rect", { ...place, y: toY(right / n) - 1.5, height: 3, fill: "#5a9216" });
  });
}

// Keys pressed on a control inside are no commands of JupyterLab, where "a" inserts a cell.
export const own = (root) => root.querySelectorAll("input, button, a, summary, [tabindex]").forEach(
  (node) => node.setAttribute("data-lm-suppress-shortcuts", ""));

// Draw the lab into an element.
export function mount(el, start = {}) {
  const settings = { ...DEFAULTS, ...start, right: [...(start.right ?? DEFAULTS.right)] };
  const root = make(el, "div", { class: "medcal-lab" });
  make(root, "style", {}, `/* lab.css */`);
  const { svg, back } = diagram(root, "reliability diagram: drag the dots, or use the arrow keys");
  const side = make(root, "div", { class: "side" });
  const dashed = { stroke: "currentColor", "stroke-dasharray": "2 4" };
  const line = make(svg, "line", { y1: toY(0), y2: toY(1), ...dashed });

  const handles = LEVELS.map((level, k) => {
    const handle = make(svg, "circle", { class: "handle", r: 9, tabindex: 0, role: "slider",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" });
    const put = (value) => {
      settings.right[k] = Math.min(100, Math.max(0, Math.round(100 * value))) / 100;
      redraw();
    };
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
    return handle;
  });

  const sliders = CONTROLS.map(([name, label, min, max, step, write]) => {
    const row = make(side, "label", {}, label);
    const input = make(row, "input", { type: "range", min, max, step, name });
    input.value = name === "n" ? SIZES.indexOf(settings.n) : settings[name];
    input.addEventListener("input", () => {
      settings[name] = name === "n" ? SIZES[Number(input.value)] : Number(input.value);
      redraw();
    });
    return { name, input, write, output: make(row, "output") };
  });
  make(side, "button", { type: "button" }, "Another sample").addEventListener("click", () => {
    settings.sample++;
    redraw();
  });
  const table = make(side, "table");
  const cells = TOLD.map((name) => {
    const row = make(table, "tr");
    make(row, "th", { scope: "row" }, name);
    return make(row, "td");
  });
  const words = make(side, "p", { "aria-live": "polite" });
  function redraw() {
    const began = performance.now(), rows = answers(settings);
    const now = measures(rows, settings.bins), { low, high, luck } = interval(now.table);
    const { coverage, risk, cost } = kept(rows, settings.threshold, settings.cost);
    drawBins(back, now.table);
    set(line, { x1: toX(settings.threshold), x2: toX(settings.threshold) });
    handles.forEach((handle, k) => set(handle, {
      cx: toX(rows[k].says), cy: toY(settings.right[k]),
      "aria-label": `right when it says ${percent(rows[k].says)}`,
      "aria-valuenow": Math.round(100 * settings.right[k]),
      "aria-valuetext": percent(settings.right[k]),
    }));
    for (const { name, input, write, output } of sliders) {
      output.textContent = write(settings[name]);
      input.setAttribute("aria-valuetext", output.textContent);
    }
    const written = [now.ece, low, high, luck, now.brier, now.logLoss].map((v) => v.toFixed(3));
    const told = [`${written[0]} [${written[1]}, ${written[2]}]`, ...written.slice(3),
      percent(now.confidence), percent(now.accuracy)];
    cells.forEach((cell, k) => (cell.textContent = told[k]));
    words.textContent =
      `It keeps ${percent(coverage)} of the answers, ${percent(risk)} of them wrong; the others ` +
      `are checked. Cost per answer: ${cost.toFixed(3)} errors.`;
    root.dataset.milliseconds = (performance.now() - began).toFixed(1);
  }
  own(root);
  redraw();
}

export default { render: ({ model, el }) => mount(el, model.get("settings")) };
