// Exercises, votes, the quiz and the count of a class: brings to life what lesson.jinja has written.
// It follows lab.js in one module, which stands beside every part of a notebook, once on a page.

// what is not alive yet: each part is mounted once
function once(selector) {
  const nodes = [...document.querySelectorAll(`${selector}:not([data-live])`)];
  nodes.forEach((node) => {
    node.setAttribute("data-live", "");
    own(node);
  });
  return nodes;
}

// Enter in a field sends it; JupyterLab keeps a browser from doing so by itself
function send(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    event.preventDefault();
    form.requestSubmit();
  });
}

// the rows of a file that csvOf wrote, also of one that a spreadsheet has saved with semicolons
export function rowsOf(text) {
  const lines = text.trim().split(/\r?\n/), mark = lines[0].includes(";") ? ";" : ",";
  const cell = new RegExp(`(?:^|${mark})(?:"((?:[^"]|"")*)"|([^${mark}"]*))`, "g");
  return lines.map((line) => [...line.matchAll(cell)].map(([, quoted, plain]) =>
    quoted?.replaceAll('""', '"') ?? plain));
}

for (const el of once(".lab")) {
  el.replaceChildren();
  mount(el, JSON.parse(el.dataset.start));
}

// As a student writes numbers: 0.3, 0,3 or 30 %.
function numberOf(text, unit) {
  const words = text.trim().replace(",", ".");
  const value = Number(words.replace(/%$/, "").trim() || NaN);
  return words.endsWith("%") && unit !== "%" ? value / 100 : value;
}

// Whether an answer is right, and what to say to it.
function check(exercise, given) {
  if (!given.trim()) return [false, "No answer yet."];
  const choice = exercise.options.length > 0, near = choice ? 0 : exercise.tolerance + 1e-12;
  const value = choice ? given : numberOf(given, exercise.unit);
  const like = (other) => choice ? value === other : Math.abs(value - other) <= near;
  if (Number.isNaN(value)) return [false, `“${given}” is not a number; write it like 0.25 or 25 %.`];
  if (like(exercise.answer)) return [true, `Right. ${exercise.why}`];
  if (!choice && !exercise.unit && 0 < exercise.answer && exercise.answer < 1 && value > 1)
    return [false, `As a share, please, or with its sign: ${value / 100} or ${value} %.`];
  if (exercise.unit === "%" && 0 < value && value < 1 && exercise.answer > 1 && !given.includes("%"))
    return [false, `In percent, please: ${given} would be less than one percent.`];
  const mistake = exercise.mistakes.find(([other]) => like(other));
  if (mistake) return [false, mistake[1]];
  return [false, `Too ${value > exercise.answer ? "large" : "small"}. Take a hint?`];
}

// the answers so far: one object for all parts of the page, also where a notebook's cell is run
// again, and stored by the browser until they are cleared
const KEY = "medcal-lesson", empty = () => ({ version: 1, rows: {}, quiz: [], stopped: false, votes: {} });
function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return found?.version === 1 ? { ...empty(), ...found } : empty();
  } catch { // no storage in this window, or something else in it
    return empty();
  }
}
const lesson = (window.medcalLesson ??=
  { state: stored(), scores: new Set(), links: new Set(), restarts: new Set() });
once(".medcal-score").forEach((node) => lesson.scores.add(node));
once(".medcal-hand-in a").forEach((node) => lesson.links.add(node));
function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify(lesson.state));
  } catch { /* the answers last as long as the page is open */ }
  score();
}
const questionOf = (form) => JSON.parse(form.dataset.exercise).question;
const HEAD = ["question", "your answer", "result", "tries"];
function score() {
  const rows = Object.entries(lesson.state.rows), votes = Object.entries(lesson.state.votes);
  // those that are left for home are not counted
  const home = document.body.classList.contains("short") ? ".home .medcal-exercise, .more .medcal-exercise" : null;
  const left = new Set([...(home ? document.querySelectorAll(home) : [])].map((form) => questionOf(form)));
  const right = rows.filter(([question, row]) => row.right && !left.has(question)).length;
  for (const node of lesson.scores)
    node.textContent = `${right} of ${node.dataset.of - left.size} exercises right`;
  const lines = [HEAD,
    ...rows.map(([question, row]) => [question, row.given, row.right ? "right" : "open", row.tries]),
    ...votes.map(([when, vote]) => [`Would you rely on it? (${when})`, vote, "vote", 1])];
  for (const node of lesson.links) node.href = csvOf(lines);
}
// runs now, and again when the answers are cleared
function begin(restart) {
  lesson.restarts.add(restart);
  restart();
}
for (const button of once(".medcal-clear")) button.addEventListener("click", () => {
  if (!confirm("Clear your answers, the quiz and your votes from this browser?")) return;
  Object.assign(lesson.state, empty()); // how many minutes are shown stays
  store();
  lesson.restarts.forEach((restart) => restart());
});

// The hour or its 45 minutes: sections for home, and what is more in a section, are then not shown. An
// address that ends in ?minutes=45 chooses, and so does the switch, which is remembered.
for (const form of once(".medcal-way")) {
  const show = () => {
    document.body.classList.toggle("short", form.elements.minutes.value === "45");
    score();
  };
  const asked = new URLSearchParams(location.search).get("minutes") ?? lesson.state.minutes;
  form.elements.minutes.value = asked === "45" ? "45" : "60";
  form.addEventListener("change", () => {
    lesson.state.minutes = form.elements.minutes.value;
    store();
    show();
  });
  show();
}

// The answers of a quiz, or to the page of cases: what was said, and whether it was right where that is known.
function answersOf(head, rows) {
  const [says, right] = ["your confidence", "you are right"].map((name) => head.indexOf(name));
  if (says < 0 || right < 0) return null;
  const known = rows.filter((row) => row[says] && ["0", "1"].includes(row[right]));
  return known.map((row) => ({ says: Number(row[says].replace(",", ".")), n: 1, right: Number(row[right]) }));
}

// How many of a class voted for what and had which exercise right, from the files that they handed in,
// and the diagram of all their answers.
for (const box of once(".medcal-class")) box.querySelector("input").addEventListener("change", async ({ target }) => {
  const files = [...target.files], counts = new Map(), others = [], answers = [];
  const texts = await Promise.all(files.map((file) => file.text()));
  texts.map(rowsOf).forEach(([head, ...rows], k) => {
    const some = answersOf(head, rows);
    if (some) answers.push(...some);
    else if (head.join() !== HEAD.join()) others.push(files[k].name);
    else for (const [question, answer, result] of rows) {
      const key = JSON.stringify([question, result === "vote" ? answer : result]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  });
  box.querySelector("[role=status]").textContent = `${files.length - others.length} files counted.` +
    (others.length ? ` Not of this lesson: ${others.join(", ")}.` : "");
  const figure = box.querySelector("figure");
  figure.replaceChildren();
  figure.hidden = answers.length === 0;
  if (answers.length) {
    const now = measures(answers, 5), words = `All answers of the class: mean confidence ` +
      `${percent(now.confidence)}, right in ${percent(now.accuracy)} of ${now.n}`;
    drawBins(diagram(figure, `Reliability diagram. ${words}`, "img").back, now.table);
    make(figure, "figcaption", {}, `${words}. Grey boxes: luck, if answers had nothing to do with one another; ` +
      "those of one student, and those to one image, have.");
  }
  const body = box.querySelector("tbody");
  body.replaceChildren();
  for (const [key, n] of [...counts].sort()) {
    const row = make(body, "tr");
    for (const text of [...JSON.parse(key), n]) make(row, "td", {}, text);
  }
  box.querySelector("table").hidden = counts.size === 0;
});

for (const form of once(".medcal-vote")) {
  const { when } = form.dataset, status = form.querySelector("[role=status]");
  const show = () => {
    const { start, end } = lesson.state.votes, first = `At the start you would ${start}`;
    if (when === "start") {
      status.textContent = start ? "It will be shown to you at the end of the lesson." : "";
      return;
    }
    const change = start === end ? `${first}, too.` : `${first}; now you would ${end}.`;
    status.textContent = !end ? "" : start ? change : "You did not vote at the start.";
    // the vote is a vote as long as the right answer is hidden
    form.querySelector(".truth").hidden = !end;
    form.querySelector("fieldset").disabled = Boolean(end);
  };
  form.addEventListener("change", () => {
    lesson.state.votes[when] = form.elements.vote.value;
    store();
    show();
  });
  begin(() => {
    form.elements.vote.forEach((node) => (node.checked = node.value === lesson.state.votes[when]));
    show();
  });
}

for (const form of once(".medcal-exercise")) {
  const exercise = JSON.parse(form.dataset.exercise), { question, hints } = exercise;
  const status = form.querySelector("[role=status]");
  const list = form.querySelector("ul"), more = form.querySelector(".hint");
  const answer = (given) => {
    const [right, words] = check(exercise, given);
    status.textContent = words;
    status.className = right ? "right" : "wrong";
    return right;
  };
  send(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new FormData(form).get("given") ?? "", right = answer(given);
    if (!given.trim()) return;
    const row = (lesson.state.rows[question] ??= { given: "", right: false, tries: 0 });
    if (row.right) return; // who plays on loses nothing
    if (given !== row.given) row.tries++;
    Object.assign(row, { given, right });
    store();
  });
  more.addEventListener("click", () => {
    make(list, "li", {}, hints[list.children.length]);
    more.disabled = list.children.length === hints.length;
  });
  begin(() => {
    const row = lesson.state.rows[question];
    form.reset();
    list.replaceChildren();
    more.disabled = false;
    status.textContent = "";
    if (!row) return;
    form.elements.given.value = row.given;
    answer(row.given);
  });
}
score();

const ENOUGH = 10; // images, after which the quiz may be stopped
for (const root of once(".medcal-quiz")) {
  const cases = JSON.parse(root.dataset.cases), at = (selector) => root.querySelector(selector);
  let given = [];
  const form = at("form"), sure = form.elements.sure;
  const writeSure = () => {
    at("output").textContent = sure.ariaValueText = `${sure.value} %`;
  };
  const ask = () => {
    const { picture, question, options } = cases[given.length], chance = 100 / options.length;
    at(".place").textContent = `Image ${given.length + 1} of ${cases.length}`;
    Object.assign(at("form img"), { src: picture, hidden: false, alt: at(".place").textContent });
    at("legend").textContent = question;
    at(".options").replaceChildren();
    for (const value of options)
      make(at(".options"), "label").append(
        make(root, "input", { type: "radio", name: "answer", value }), ` ${value}`);
    own(root);
    at(".stop").hidden = given.length < ENOUGH;
    at(".chance").textContent = `A guess is right ${Math.round(chance)} % of the time.`;
    sure.value = chance;
    writeSure();
  };
  sure.addEventListener("input", writeSure);
  send(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answer = form.elements.answer.value;
    at("[role=alert]").textContent = answer ? "" : "Choose an answer first.";
    if (!answer) return;
    given.push({ answer, confidence: sure.value / 100 });
    store();
    if (given.length < cases.length) ask();
    else result();
    (form.hidden ? at(".summary") : form.elements.answer[0]).focus();
  });
  at(".stop").addEventListener("click", () => {
    lesson.state.stopped = true;
    store();
    result();
    at(".summary").focus();
  });
  const result = () => {
    const shown = cases.slice(0, given.length); // both answered these
    at(".scores").replaceChildren();
    const sides = [given, shown].map((side) => measures(side.map(({ answer, confidence }, k) =>
      ({ says: confidence, n: 1, right: Number(answer === cases[k].gold) })), 5));
    sides.forEach((now, k) => {
      const figure = root.querySelectorAll("figure")[k], { low, high } = interval(now.table);
      const words = `mean confidence ${percent(now.confidence)}, right in ${now.accuracy * now.n} of ${now.n}`;
      make(at(".scores"), "li", {}, `${k ? "The model" : "You"}: ECE ${now.ece.toFixed(2)} in 5 bins (95 % CI ` +
        `${low.toFixed(2)} to ${high.toFixed(2)}), Brier score ${now.brier.toFixed(2)}`);
      figure.querySelectorAll("svg, p").forEach((node) => node.remove());
      drawBins(diagram(figure, `Reliability diagram: ${words}`, "img").back, now.table);
      make(figure, "p", {}, words);
    });
    const [{ accuracy, confidence, table }, model] = sides;
    const apart = Math.round(100 * confidence) - Math.round(100 * accuracy);
    at(".summary").textContent = `Your mean confidence was ${percent(confidence)} and you were right in ` +
      `${percent(accuracy)}` + (apart ? `: ${Math.abs(apart)} points too ${apart > 0 ? "sure" : "unsure"}. `
        : ". ") + "With so few answers the grey boxes are wide: by luck alone a calibrated student, too, shows an ECE " +
      `of up to ${interval(table).luck.toFixed(2)}.`;
    const guessed = Math.round(shown.reduce((total, { options }) => total + 1 / options.length, 0));
    at(".coin").textContent = `The model is a tiny one that has seen few images of this kind: right in ` +
      `${model.accuracy * model.n} of ${model.n}, where guessing gives about ${guessed}. That says nothing ` +
      "of other models, and not that AI is useless. It shows why a confidence has to be counted: this one stated " +
      `${percent(model.confidence)} on average.`;
    at(".key").replaceChildren();
    legend(at(".key"), BINS);
    at("tbody").replaceChildren();
    const cells = ({ answer, confidence }, k) => [answer, confidence, answer === cases[k].gold ? 1 : 0];
    at("a").href = csvOf([["image", "question", "right answer", "your answer", "your confidence",
      "you are right", "model's answer", "model's confidence", "model is right"],
      ...shown.map((one, k) => [k + 1, one.question, one.gold, ...cells(given[k], k), ...cells(one, k)])]);
    shown.forEach((one, k) => {
      const row = make(at("tbody"), "tr"), mark = ({ answer, confidence }) =>
        `${answer === one.gold ? "✓" : "✗"} ${answer} (${percent(confidence)})`;
      make(make(row, "td"), "img", { src: one.picture, alt: `Image ${k + 1}` });
      for (const text of [one.question, one.gold, mark(given[k]), mark(one)]) make(row, "td", {}, text);
    });
    form.hidden = true;
    at(".result").hidden = false;
  };
  begin(() => {
    // of another quiz than this one nothing is taken
    const fits = ({ answer }, k) => cases[k]?.options.includes(answer);
    if (!lesson.state.quiz.every(fits)) lesson.state.quiz = [];
    given = lesson.state.quiz;
    form.hidden = false;
    at(".result").hidden = true;
    const ended = given.length === cases.length || (lesson.state.stopped && given.length >= ENOUGH);
    if (ended) result();
    else ask();
  });
}
