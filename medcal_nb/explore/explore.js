"use strict";
// The panel of explore(), in JupyterLab and on a page. Python has computed a table for each choice
// of model, method, map and subgroup; here it is looked up, summed and drawn. In Lab a choice that
// is not there yet is asked of the kernel, through two hidden widgets. Texts become text, never markup.
{
  const percent = (share) => { // as wording.percent
    const number = 100 * share;
    for (let places = 0; places < 3; places++) {
      const text = number.toFixed(places);
      if (Math.abs(number - text) < 1e-7 || ![0, 100].includes(Number(text))) return text;
    }
    return number < 1 ? "< 0.01" : "> 99.99";
  };
  // reweighted answers are no whole number: of few, a tenth counts
  const count = (n) => Number(n.toFixed(n < 9.95 ? 1 : 0)).toLocaleString("en");
  const plain = (number) => String(Number(number.toPrecision(4)));
  const shareOf = (share) => share === null || share === undefined ? "–" : `${percent(share)} %`;
  const decimals = (number, places) => number === null || number === undefined ? "–"
    : number.toFixed(places).replace("-", "−");
  const SVG = "http://www.w3.org/2000/svg";

  function make(parent, name, attributes = {}, text = "") {
    const node = document.createElementNS(parent.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(text);
    parent.append(node);
    return node;
  }
  function svg(parent, width, height, label) {
    const node = document.createElementNS(SVG, "svg");
    node.setAttribute("viewBox", `0 0 ${width} ${height}`);
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
    parent.append(node);
    return node;
  }

  // What the part would show if another share of the answers were right, right and wrong answers
  // each as they are: every right answer has one weight, every wrong one another.
  function weighted(part, share) {
    const { n, wrong } = part;
    if (share === null || wrong === 0 || wrong === n) return part;
    const heavy = (1 - share) * n / wrong, light = share * n / (n - wrong);
    const odds = (p) => p * heavy / (p * heavy + (1 - p) * light);
    const right = (p) => 1 - odds(1 - p);
    const side = (one) => one && { ...one, dots: one.dots.map(([c, m, ...ends]) =>
      [c, m, ...ends.map(right)]) };
    const steps = part.steps.map(([threshold, m, errors, ...ends]) =>
      [threshold, (m - errors) * light + errors * heavy, errors * heavy, ...ends.map(odds)]);
    return { ...part, before: side(part.before), after: side(part.after), steps, wrong: wrong * heavy };
  }

  // What passes at a step, and what it costs in checks.
  function summed(part, step, ratio) {
    const [, kept, wrong, low, high] = part.steps[step] ?? [1, 0, 0, 0, 1];
    const { n } = part, threshold = part.written[step] ?? 1;
    return { n, threshold, kept, wrong, low, high, coverage: kept / n, risk: kept ? wrong / kept : 0,
      deferring: (ratio * wrong + n - kept) / n, none: (ratio * part.wrong) / n };
  }

  // as wording.deferral_sentence, in two parts; of a share of right answers that was not measured
  // it says what would be
  function sentences(now, ratio, isSupposed) {
    const [pass, are, costs] = isSupposed ? ["would pass", "would be", "would cost"] : ["pass", "are", "costs"];
    let text = `Of ${count(now.n)} answers ${count(now.kept)} (${percent(now.coverage)} %) ${pass} unchecked at a ` +
      `confidence of at least ${plain(100 * now.threshold)} %`;
    if (now.kept) text += `; ${count(now.wrong)} of these (${percent(now.risk)} %, 95 % CI ${percent(now.low)} to ` +
      `${percent(now.high)}) ${are} wrong`;
    return [`${text}.`, `An answer ${costs} ${now.deferring.toFixed(2)} checks if a wrong one that passes costs ` +
      `${plain(ratio)}; checking all 1.00, checking none ${now.none.toFixed(2)}.`];
  }

  // The cell to copy: lines for a map, a subgroup, a page, … stand there only where they hold.
  function cell(data, { choice, threshold, risk, ratio, title }) {
    const [model, strategy, map, column, value] = choice;
    const holds = { page: data.load, no_page: !data.load, map, no_map: !map, group: column,
      no_model: !data.named[0], no_strategy: !data.named[1] };
    const python = JSON.stringify; // strings and numbers are written alike
    const words = { load: data.load, table: data.table, model: python(model), strategy: python(strategy), map: python(map),
      column: python(column), value: python(value), threshold, risk, ratio, title: python(title),
      delta: data.controls.delta, seed: data.seed, bins: data.bins };
    return data.cell.split("\n").filter((line) => {
      const mark = line.match(/^@(\w+) /);
      return !mark || holds[mark[1]];
    }).map((line) => line.replace(/^@\w+ /, "").replace(/\{(\w+)\}/g, (_, name) => words[name])).join("\n");
  }

  // --- pictures ---------------------------------------------------------------------------------
  const BOX = { x: 46, y: 8, size: 300 };
  const along = (p) => BOX.x + p * BOX.size;
  const up = (p, top = 1) => BOX.y + (1 - p / top) * BOX.size;

  const KEY = { before: "as elicited", after: "after the map, cross-fitted" };

  function axes(picture, top, step, across, upwards) {
    make(picture, "path", { class: "axis", d: `M${BOX.x} ${BOX.y}V${up(0)}H${along(1)}` });
    for (let k = 0; k <= 5; k++)
      make(picture, "text", { x: along(k / 5), y: up(0) + 16, "text-anchor": "middle" }, String(20 * k));
    for (let p = 0; p < top + step / 2; p += step)
      make(picture, "text", { x: BOX.x - 5, y: up(p, top) + 4, "text-anchor": "end" }, plain(100 * p));
    if (across) make(picture, "text", { x: along(0.5), y: up(0) + 33, "text-anchor": "middle" }, across);
    make(picture, "text", { transform: `translate(11 ${up(0.5)}) rotate(-90)`, "text-anchor": "middle" }, upwards);
  }

  function calibration(parent, part, now) {
    const picture = svg(parent, 360, 415, "Accuracy against confidence; its numbers stand in the table below");
    axes(picture, 1, 0.2, "", "right (%)");
    make(picture, "path", { class: "dash", d: `M${along(0)} ${up(0)}L${along(1)} ${up(1)}` });
    const total = part.before.dots.reduce((sum, row) => sum + row[1], 0);
    const sides = ["before", "after"].filter((name) => part[name]);
    const most = Math.max(...sides.flatMap((name) => part[name].dots.map((row) => row[1] / total)), 0.01);
    const ground = 386, high = 50;
    for (const name of sides) for (const [c, m, accuracy, low, upper] of part[name].dots) {
      const share = m / total, height = share / most * high;
      make(picture, "rect", { class: `bar ${name}`, x: along(c) - 4, width: 8, y: ground - height, height });
      if (share < 0.01) continue; // as plots.calibration
      make(picture, "path", { class: name, d: `M${along(c)} ${up(low)}V${up(upper)}` });
      make(picture, "circle", { class: name, cx: along(c), cy: up(accuracy), r: 2.5 + 5 * Math.sqrt(share) });
    }
    make(picture, "path", { class: "axis", d: `M${BOX.x} ${ground}H${along(1)}` });
    make(picture, "text", { x: BOX.x - 5, y: ground - high + 9, "text-anchor": "end" }, percent(most));
    make(picture, "text", { x: BOX.x - 5, y: ground + 2, "text-anchor": "end" }, "0");
    make(picture, "text", { x: along(0.5), y: ground + 22, "text-anchor": "middle" },
      part.n_stated < part.n ? "confidence (%); bars: share of those with one (%)" : "confidence (%); bars: share of the answers (%)");
    if (now.kept) make(picture, "path", { class: "dash", d: `M${along(now.threshold)} ${BOX.y}V${ground}` });
    const key = make(parent, "div", { class: "key" });
    for (const name of sides) make(key, "span", { class: name }, KEY[name]);
    make(key, "span", {}, "bars: 95 % CI; dashed: calibrated, and the threshold");
  }

  function riskAndCoverage(parent, part, now, risk, certified) {
    const picture = svg(parent, 360, 350, "Share wrong of what passes, against the share that passes");
    const shares = part.steps.map(([, kept, wrong, low, high]) => [kept / part.n, wrong / kept, low, high]);
    const known = shares.filter(([coverage]) => coverage >= 0.02);
    const seen = Math.max(risk, part.wrong / part.n, ...known.map((row) => row[1]));
    const tick = [0.02, 0.05, 0.1].find((one) => 1.15 * seen <= 6 * one) ?? 0.2;
    const top = Math.min(1, tick * Math.ceil(1.15 * seen / tick)), side = part.after ? "after" : "before";
    const inside = (p) => up(Math.min(p, top), top);
    if (certified) make(picture, "rect", { class: "region", x: along(0), y: BOX.y, width: BOX.size * certified[1], height: BOX.size });
    axes(picture, top, tick, "answers that pass unchecked (%)", "wrong of these (%, lower: better)");
    if (shares.length) {
      const line = (column) => shares.map((row) => `${along(row[0])} ${inside(row[column])}`);
      const area = [...line(2), ...line(3).reverse()].join("L");
      make(picture, "path", { class: `band ${side}`, d: `M${area}Z` });
      make(picture, "path", { class: `curve ${side}`, d: `M${line(1).join("L")}` });
      if (shares.length < 25) for (const row of shares)
        make(picture, "circle", { class: side, cx: along(row[0]), cy: inside(row[1]), r: 2.5 });
    }
    const all = part.wrong / part.n;
    make(picture, "path", { class: "dash", d: `M${along(0)} ${inside(all)}H${along(1)}` });
    make(picture, "path", { class: "allowed", d: `M${along(0)} ${inside(risk)}H${along(1)}` });
    make(picture, "text", { class: "allowed", x: along(1), y: inside(risk) - 4, "text-anchor": "end" }, `allowed: ${percent(risk)} %`);
    if (certified) make(picture, "text", { class: "green", x: along(0) + 4, y: up(0) - 5 },
      `certified: the surest ${percent(certified[1])} % of all`);
    if (now.kept) {
      make(picture, "path", { class: "now", "stroke-width": 2, d: `M${along(now.coverage)} ${inside(now.low)}V${inside(now.high)}` });
      make(picture, "circle", { class: "now", cx: along(now.coverage), cy: inside(now.risk), r: 5 });
    }
    const key = make(parent, "div", { class: "key" });
    make(key, "span", { class: "now" }, "what passes now");
    make(key, "span", {}, "band, bar: 95 % CI");
    make(key, "span", { class: "dashed" }, `all answers: ${percent(all)} % wrong`);
    if (certified) make(key, "span", { class: "green" }, "certified, before any map");
  }

  // --- the panel --------------------------------------------------------------------------------
  function mount(root, data) {
    const { controls } = data, parts = new Map(Object.entries(data.parts));
    const state = { choice: [...data.first], step: 0, risk: controls.risks.indexOf(0.2), ratio: 5, share: null };
    // what the user chose last: a map is drawn at the coverage, a subgroup at the threshold
    let part = null, threshold = null, coverage = 0.5, asked = 0, filled = "";
    root.replaceChildren();
    const form = make(root, "div", { class: "controls choices" }), sliders = make(root, "div", { class: "controls" });

    function select(name, words, options) {
      const label = make(form, "label", {}, words), node = make(label, "select", { name });
      // what was chosen stays chosen, also where it has no answers now: that is then said
      const fill = (list, was = node.value) => {
        node.replaceChildren();
        for (const [value, text, n = 1] of list)
          make(node, "option", { value }, n ? text : `${text}: no answers`).disabled = n === 0;
        if (list.some(([value]) => value === was)) node.value = was;
        node.disabled = list.length < 2;
      };
      fill(options);
      node.addEventListener("change", () => choose());
      return { node, fill };
    }
    function slider(name, words, { min = 0, max, step = 1 }, change) {
      const label = make(sliders, "label", {}, words), output = make(label, "span", { class: "value" });
      const node = make(label, "input", { type: "range", name, min, max, step });
      node.addEventListener("input", () => { change(Number(node.value)); draw(); });
      const set = (value, text) => {
        node.value = value;
        output.textContent = text;
        node.setAttribute("aria-valuetext", text);
      };
      return { node, set };
    }
    const model = select("model", "Model", controls.models);
    const strategy = select("strategy", "Method", controls.strategies[state.choice[0]]);
    const map = select("map", "Recalibration", controls.maps);
    const column = select("column", "Subgroup", [["", "all answers"], ...controls.columns]);
    const value = select("value", "Its value", [["", "–"]]);
    const stand = () => [part.steps[state.step]?.[0], (part.steps[state.step]?.[1] ?? 0) / part.n];
    const lastStep = () => Math.max(part.steps.length - 1, 0);
    // steps go down from the surest answers; to the right the slider goes up
    const passes = slider("threshold", "Unchecked from", { max: 0 }, (v) => {
      state.step = lastStep() - v;
      [threshold, coverage] = stand();
    });
    const allowed = slider("risk", "Allowed wrong", { max: controls.risks.length - 1 }, (v) => { state.risk = v; });
    const price = slider("ratio", "Checks per missed error (R)", { min: 1.5, max: 50, step: 0.5 }, (v) => { state.ratio = v; });
    const right = slider("share", "If accuracy were", { max: 20 }, (v) => { state.share = v ? Math.min(v / 20, 0.99) : null; });

    const moved = [passes, allowed, price, right].map((one) => one.node);

    const buttons = make(root, "div", { class: "buttons" });
    const button = (text, act) => {
      const node = make(buttons, "button", { type: "button" }, text);
      node.addEventListener("click", (event) => {
        act();
        if (event.detail) giveBack(); // clicked with a pointer
      });
      return node;
    };
    // the keys to JupyterLab: to the cell that the panel stands in
    function giveBack() {
      document.activeElement.blur();
      root.closest(".jp-Cell")?.focus();
    }
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") giveBack();
    });
    const toCertified = button("To what is certified", () => {
      const certified = part.certified[state.risk];
      const last = stepOf(certified[1]);
      if (last >= 0) go(last);
    });
    const toRatio = button("To 1 − 1/R", () => go(stepAt(1 - 1 / state.ratio)));
    const copy = button("Copy the code of this picture", async () => {
      code.textContent = text();
      code.hidden = false;
      try {
        await navigator.clipboard.writeText(code.textContent);
        copied.textContent = "Copied: it stands below, too.";
      } catch { // not allowed here: it is there to be copied by hand
        getSelection().selectAllChildren(code);
        copied.textContent = "It stands below, selected.";
      }
    });
    const copied = make(buttons, "span", { class: "quiet", role: "status" });
    const says = make(root, "div", { class: "says", "aria-live": "polite" });
    const pictures = make(root, "div", { class: "pictures" });
    const code = make(root, "pre", { tabindex: 0, "aria-label": "code of this picture" });
    code.hidden = true;
    const measured = make(root, "p", { class: "quiet" });
    const more = make(root, "div");
    // keys pressed here are no commands of JupyterLab, where "a" inserts a cell
    root.querySelectorAll("select, input, button, pre").forEach((node) => node.setAttribute("data-lm-suppress-shortcuts", ""));

    // of what is shown: the menus may be ahead of it
    const named = (list, name) => list.find(([one]) => one === name)[1];
    const title = () => {
      const [m, s, fitted, group, one] = state.choice;
      const words = [named(controls.models, m), named(controls.strategies[m], s)];
      if (group) words.push(`${named(controls.columns, group)}: ${named(controls.values[group], one)}`);
      if (fitted) words.push(named(controls.maps, fitted) + (group ? " (fitted to all)" : ""));
      return words.join(", ");
    };
    const text = () => cell(data, { choice: state.choice, threshold: part.written[state.step] ?? 1, risk: controls.risks[state.risk],
      ratio: state.ratio, title: title() });
    function place(step) {
      state.step = Math.max(step, 0);
      draw();
    }
    function go(step) {
      place(step);
      [threshold, coverage] = stand();
    }
    // the last step at which answers of a confidence pass, or no more than a share
    const stepAt = (confidence) => part.steps.findLastIndex((row) => row[0] >= confidence - 1e-6);
    const stepOf = (share) => part.steps.findLastIndex((row) => row[1] <= share * part.n + 0.5);

    // what the menus below a choice hold: subgroups without answers are there, and cannot be chosen
    function fillMenus() {
      strategy.fill(controls.strategies[model.node.value]);
      const counts = controls.counts[model.node.value][strategy.node.value];
      column.fill([["", "all answers"], ...controls.columns.map(([name, words]) => [name, words, Math.max(...counts[name])])]);
      const group = column.node.value, options = group ? controls.values[group].map((one, k) => [...one, counts[group][k]]) : [["", "–"]];
      value.fill(options, group === filled ? undefined : null);
      filled = group;
    }

    // nothing to draw, and why
    function nothing(words) {
      for (const node of [pictures, more, says]) node.replaceChildren();
      make(make(says, "p"), "b", {}, words);
      code.hidden = true;
      copied.textContent = "";
      for (const node of [...moved, toCertified, toRatio, copy]) node.disabled = true;
    }

    async function choose() {
      const before = state.choice;
      fillMenus();
      const choice = [model, strategy, map, column, value].map((one) => one.node.value);
      const number = ++asked;
      if (value.node.selectedOptions[0].disabled) {
        const [m, s, , group, one] = choice, methods = controls.strategies[m];
        const whose = named(controls.models, m) + (methods.length > 1 ? ` (${named(methods, s)})` : "");
        nothing(`No answers: ${whose} has none where ${named(controls.columns, group)} is ${named(controls.values[group], one)}.`);
        return;
      }
      const next = await partOf(choice, number);
      if (number !== asked || next === null) return; // another choice came
      const isMapped = part === null || choice[2] !== before[2];
      state.choice = choice;
      part = next;
      for (const node of [...moved, toRatio]) node.disabled = false;
      passes.node.max = lastStep();
      passes.node.disabled = part.steps.length < 2;
      // another map has other confidences: as many answers as before; else the threshold stays
      place(isMapped ? stepOf(coverage) : stepAt(threshold));
      // the one that did not choose follows, so that there and back is where one was
      if (isMapped) [threshold] = stand();
      else [, coverage] = stand();
      show();
    }

    async function partOf(choice, number) {
      const key = JSON.stringify(choice);
      if (parts.has(key)) return parts.get(key);
      says.textContent = "computing …";
      copy.disabled = true; // of what is shown no longer
      try {
        const found = await ask(data.bridge, choice, number);
        Object.assign(data.pictures, found.pictures);
        parts.set(key, found.part);
        return found.part;
      } catch (error) {
        if (number === asked) nothing(error.message);
        return null;
      }
    }

    // what changes with a choice alone: the table and the errors
    function show() {
      more.replaceChildren();
      const box = make(more, "div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "scores" });
      const table = make(box, "table"), head = make(make(table, "thead"), "tr");
      for (const name of ["confidence", "answers with one", "right", "mean confidence", `ECE (${data.ece_bins} bins) [95 % CI]`, "Brier score", "slope", "AUROC"])
        make(head, "th", { scope: "col" }, name);
      const body = make(table, "tbody");
      for (const [name, words] of [["before", "as elicited"], ["after", "after the map"]]) {
        if (!part[name]) continue;
        const s = part[name].scores, row = make(body, "tr");
        make(row, "th", { scope: "row" }, words);
        for (const item of [count(part.n_stated), shareOf(s.accuracy), shareOf(s.mean_confidence),
          `${decimals(s.ece, 3)} [${decimals(s.ece_low, 3)}, ${decimals(s.ece_high, 3)}]`, decimals(s.brier, 3),
          decimals(s.slope, 2), decimals(s.auroc, 3)]) make(row, "td", {}, item);
      }
      make(more, "h2", {}, part.errors.length ? "The surest errors" : "No answer is wrong");
      const unseen = part.errors.some((error) => error.image) && data.images_by;
      if (unseen) make(more, "p", { class: "quiet" }, `Their images are shown by ${data.images_by}.`);
      const list = make(more, "ul", { class: "errors" });
      for (const error of part.errors) {
        const item = make(list, "li");
        const picture = data.pictures[error.row];
        if (picture) make(item, "img", { src: picture, alt: `image of item ${error.item || error.row + 1}` });
        make(make(item, "div"), "b", {}, `${percent(error.confidence)} % sure: ${error.reply || "no reply recorded"}`);
        make(item, "div", {}, `right: ${error.gold || "not recorded"}`);
        if (error.question) make(item, "div", { class: "quiet" }, error.question);
        const names = [error.item && `item ${error.item}`, error.image && `image ${error.image}`].filter(Boolean);
        make(item, "div", { class: "quiet" }, names.join(", ") || `row ${error.row + 1}`);
      }
    }

    // what changes with a slider, too
    function draw() {
      const began = performance.now(), now = weighted(part, state.share);
      const risk = controls.risks[state.risk], sums = summed(now, state.step, state.ratio);
      const certified = now === part ? part.certified[state.risk] : null;
      passes.set(lastStep() - state.step, `${plain(100 * sums.threshold)} %`);
      allowed.set(state.risk, `${percent(risk)} %`);
      price.set(state.ratio, plain(state.ratio));
      right.set(state.share === null ? 0 : Math.round(20 * state.share), state.share === null ? "as measured" : `${percent(state.share)} %`);
      toCertified.disabled = !certified;
      copy.title = now !== part ? "No code draws another accuracy: set “If accuracy were” back to “as measured”."
        : part.n_stated ? "" : "No answer here has a confidence: there is nothing to draw.";
      copy.disabled = copy.title !== "";
      says.replaceChildren();
      const [first, second] = sentences(sums, state.ratio, now !== part);
      measured.textContent = now === part ? "" : "Scores and errors below are of the answers as measured, " +
        `${percent(1 - part.wrong / part.n)} % of them right.`;
      make(make(says, "p"), "b", {}, first);
      make(says, "p", {}, second);
      const proof = certified
        ? `Certified for at most ${percent(risk)} % wrong (δ = ${controls.delta}), before any map: from ${plain(100 * certified[0])} % on, the surest ` +
          `${percent(certified[1])} % of all. ` + (part.after ? "After the map, which differs a little from fold to fold, these are not quite the same. " : "")
        : now === part ? `No threshold is certified for at most ${percent(risk)} % wrong (δ = ${controls.delta}). `
          : "Right and wrong answers are reweighted; a certificate is of the answers as measured. ";
      const stated = part.n - part.n_stated;
      make(says, "p", { class: "quiet" }, `${proof}A certificate holds for what was fixed before looking: what is chosen here by looking is ` +
        `certified anew, on other answers, by medcal certify. ${part.note}${stated ? ` Without a confidence, and checked: ${count(stated)}.` : ""}` +
        (part.n_ungraded ? ` Without a grade, and left out: ${count(part.n_ungraded)}.` : ""));
      pictures.replaceChildren();
      const square = make(pictures, "figure"), curve = make(pictures, "figure");
      make(square, "figcaption", {}, `Calibration: ${title()}`);
      calibration(square, now, sums);
      make(curve, "figcaption", {}, "Risk and coverage");
      riskAndCoverage(curve, now, sums, risk, certified);
      if (!code.hidden) code.textContent = text();
      if (copied.textContent !== copy.title) copied.textContent = copy.title;
      root.dataset.milliseconds = (performance.now() - began).toFixed(1);
    }
    [model.node.value, strategy.node.value] = data.first;
    root.medcal = { state, summed: () => summed(weighted(part, state.share), state.step, state.ratio), part: () => part, text };
    choose();
  }
  // A part of the kernel: what is written into the hidden text field comes to Python, whose answer
  // is the text of the hidden HTML widget.
  function ask(bridge, choice, id) {
    const area = bridge && document.querySelector(`.${bridge} textarea`);
    if (!area) throw new Error("This choice is not computed yet: run the cell again, with a kernel.");
    const reply = document.querySelector(`.${bridge} .widget-html-content`);
    return new Promise((resolve, reject) => {
      const done = (act) => { watch.disconnect(); clearTimeout(late); act(); };
      const watch = new MutationObserver(() => {
        const found = JSON.parse(reply.textContent || "{}");
        if (found.id === id) done(() => resolve(found));
      });
      const late = setTimeout(() => done(() => reject(new Error("No answer of the kernel: is it busy, or gone?"))), 60_000);
      watch.observe(reply, { childList: true, subtree: true, characterData: true });
      area.value = JSON.stringify({ id, choice });
      area.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }

  for (const root of document.querySelectorAll(".medcal-explore:not([data-live])")) {
    root.dataset.live = "";
    const own = root.querySelector("script") ?? document.getElementById("data");
    mount(root, JSON.parse(own.textContent));
  }
}
