"use strict";
// One case at a time: the reader's answer and confidence, then the model's, then a decision. What a
// reader says is a row that is only ever added; of the decisions about a case the last one counts.
// Words of the data become text, never markup.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const KEY = `medcal-reader:${data.set}`;
const cases = data.cases;
// with the places that tell a share from none and from all, as the study writes it
const inPercent = (share) => {
  const texts = [0, 1, 2].map((places) => (100 * share).toFixed(places));
  const isSo = (text) => Math.abs(text - 100 * share) < 1e-7 || (text > 0 && text < 100);
  return texts.find(isSo) ?? (share < 0.5 ? "< 0.01" : "> 99.99");
};
const percent = (share) => `${inPercent(share)}\u00a0%`;
const percents = (low, high) => `${inPercent(low)} to ${percent(high)}`;
const quoted = (text) => `“${text}”`;
const SMALL = 256; // pixels: images of fewer are enlarged without smoothing

let state = { reader: "", rows: [] };
let place = 0;
let since = performance.now(); // when the case, or the model's answer, was shown
let doubted = ""; // a confidence of at most 1 that has been asked about
let unsaved = false;

function make(parent, tag, text = "", attributes = {}) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(text);
  parent.append(node);
  return node;
}

// What the browser holds: another window may have added rows, and without storage the rows last as
// long as the page. The tab keeps them too, for a reload that comes before the browser has them.
const STORES = ["localStorage", "sessionStorage"];

function load() {
  for (const name of STORES) {
    try {
      const stored = JSON.parse(window[name].getItem(KEY));
      if (Array.isArray(stored?.rows) && stored.rows.length >= state.rows.length) {
        state = { reader: String(state.reader || stored.reader), rows: stored.rows };
      }
    } catch { /* no storage, or nothing of ours in it */ }
  }
}

function save() {
  unsaved = state.rows.length > 0;
  for (const name of STORES) {
    try {
      window[name].setItem(KEY, JSON.stringify(state));
      if (name === "localStorage") unsaved = false;
    } catch { /* no storage */ }
  }
}

function add(row) {
  load();
  state.rows.push(row);
  save();
}

function rowsOf(item, isCommit) {
  return state.rows.filter((row) => row.reader === state.reader && row.item_id === item &&
    (row.action === "commit") === isCommit);
}
const commitOf = (item) => rowsOf(item, true)[0];
const decisionOf = (item) => rowsOf(item, false).at(-1);

// Answers

// With the model's answer shown, it can be chosen too, if it is none of the options.
function optionsOf(one) {
  if (!one.options) return null;
  const known = one.options.includes(one.answer) || !commitOf(one.item_id);
  return known ? one.options : [...one.options, one.answer];
}

const plain = (text) => text.trim().toLowerCase();
const isModels = (one, answer) => plain(answer) === plain(one.answer);

// Options alone have a grade here, that of the package; open answers get theirs where they are read in.
function gradeOf(one, answer) {
  if (!one.options) return null;
  return one.options.includes(answer) ? one.right[one.options.indexOf(answer)] : one.correct;
}

function selected() {
  const options = optionsOf(cases[place]);
  if (!options) return byId("text").value.trim();
  const box = byId("answers").querySelector("input:checked");
  return box ? options[Number(box.value)] : "";
}

function select(answer) {
  const options = optionsOf(cases[place]);
  if (!options) byId("text").value = answer;
  else byId("answers").querySelectorAll("input").forEach((box, k) => (box.checked = options[k] === answer));
}

// "80", "80 %" or "80,5" as a percentage; NaN where it is no number from 0 to 100
function sureOf(text) {
  const words = text.replace("%", "").replace(",", ".").trim();
  const value = words ? Number(words) : NaN;
  return value >= 0 && value <= 100 ? value : NaN;
}

// Showing

function show() {
  const one = cases[place];
  const own = commitOf(one.item_id);
  const decision = decisionOf(one.item_id);
  byId("question").textContent = `Case ${place + 1} of ${cases.length}: ${one.question ?? "(question unknown)"}`;
  byId("image").src = one.image;
  byId("image").alt = `Image of case ${place + 1}`;
  byId("frame").hidden = !one.image;
  byId("frame").ariaLabel = `Image of case ${place + 1}, enlarge or reduce (Z)`;
  byId("note").textContent = [data.note, one.image ? "" : "No image of this case."].join(" ").trim();
  showAnswers(one);
  const last = decision?.answer ? decision : own;
  select(last?.answer ?? "");
  byId("sure").value = last ? asTyped(last.confidence) : "";
  byId("decided").textContent = !decision ? "" : decision.action === "defer"
    ? "You deferred this case." : `You decided ${inWords(decision)}. ${goldOf(one)}`;
  byId("status").textContent = "";
  doubted = "";
  since = performance.now();
  byId("model").hidden = !own;
  if (own) showModel(one, own);
  for (const name of ["take", "defer"]) byId(name).hidden = !own;
  byId("take").disabled = own !== undefined && isModels(one, own.answer);
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === cases.length - 1;
  showProgress();
  relabel();
}

function showAnswers(one) {
  const options = optionsOf(one);
  const box = byId("answers");
  box.replaceChildren();
  if (!options) {
    const label = make(box, "label", "In words", { className: "text" });
    make(label, "input", "", { id: "text", maxLength: 200 });
    return;
  }
  options.forEach((option, k) => {
    const label = make(box, "label");
    make(label, "input", "", { type: "radio", name: "answer", value: `${k}` });
    make(label, "kbd", `${k + 1}`, { ariaHidden: "true" });
    make(label, "span", option);
  });
}

const asTyped = (share) => `${Number((100 * share).toFixed(6))}`;
const goldOf = (one) => (one.golds.length ? `Right is ${one.golds.map(quoted).join(" or ")}.` : "");
const inWords = (row) => `${quoted(row.answer)}, ${percent(row.confidence)} sure`;

function showModel(one, own) {
  const { n, n_wrong: wrong, low, high } = one.similar ?? {};
  byId("says").textContent = `The model says ${quoted(one.answer)}, confidence ${percent(one.confidence)}`;
  byId("own").textContent = `You said ${inWords(own)}, before you saw it.`;
  byId("rate").textContent = one.similar
    ? `Of ${n} such answers ${wrong} ${wrong === 1 ? "was" : "were"} wrong, 95 % CI ${percents(low, high)}.`
    : "No such answer has been graded: how often they are wrong is unknown.";
  byId("alike").textContent = one.similar
    ? `Such answers, about other images: ${likenesses(one).join(", ")}.` : "";
}

function likenesses({ alike, similar: { span: [low, high] } }) {
  const words = { question_type: "same kind of question", modality: "same modality" };
  const span = percent(low) === percent(high) ? percent(high) : percents(low, high);
  return [`confidence ${span}`, ...alike.map((name) => words[name])];
}

function smooth(event) {
  const image = event.target;
  image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < SMALL);
}

function showProgress() {
  const n = cases.filter((one) => decisionOf(one.item_id)).length;
  const warning = unsaved ? " This browser does not save them: download before you close the page." : "";
  byId("progress").textContent = `${n} of ${cases.length} decided.${warning}`;
  const rows = state.rows.map((row) => JSON.stringify(row)).join(",\n");
  byId("download").href = `data:application/json;charset=utf-8,${encodeURIComponent(`[\n${rows}\n]\n`)}`;
  byId("table").href = csvOf(tableOf());
  if (byId("reader").value.trim() !== state.reader) byId("reader").value = state.reader;
}

// The cases that a reader has answered, one a line, for a spreadsheet and for the lesson's count of a
// class; an answer in words has no grade here.
const HEAD = ["reader", "case", "question", "right answer", "your answer", "your confidence", "you are right",
  "model's answer", "model's confidence", "model is right", "decision", "answer with the model",
  "confidence with the model", "right with the model"];

function tableOf() {
  const grade = (value) => (value === null ? "" : Number(value));
  const rows = cases.filter((one) => commitOf(one.item_id)).map((one) => {
    const own = commitOf(one.item_id), last = decisionOf(one.item_id);
    return [state.reader, cases.indexOf(one) + 1, one.question, one.golds.join(" or "),
      own.answer, own.confidence, grade(gradeOf(one, own.answer)),
      one.answer, one.confidence, grade(one.correct),
      ...(last ? [last.action, last.answer ?? "", last.confidence ?? ""] : ["", "", ""]),
      last?.answer ? grade(gradeOf(one, last.answer)) : ""];
  });
  return [HEAD, ...rows];
}

// The button says what it records; an answer changed after the model's was seen loses the confidence
// that was given for another.
function relabel() {
  const own = commitOf(cases[place].item_id);
  const same = own && selected() === own.answer;
  const words = !own ? ["Show the model’s answer"] : [same ? "Keep my answer " : "Record this answer "];
  byId("submit").replaceChildren(...words);
  if (own) make(byId("submit"), "kbd", "K");
}

function changed() {
  const own = commitOf(cases[place].item_id);
  if (own) byId("sure").value = selected() === own.answer ? asTyped(own.confidence) : "";
  relabel();
}

// Deciding

function refuse(field, words) {
  byId("status").textContent = words;
  field.focus();
  field.select?.();
}

function decide(isDeferred = false) {
  const one = cases[place];
  const own = commitOf(one.item_id);
  const answer = selected();
  const typed = byId("sure").value;
  const sure = sureOf(typed);
  const first = byId("answers").querySelector("input");
  if (!state.reader) return refuse(byId("reader"), "Write your name or a code first.");
  if (!isDeferred && !answer) return refuse(first, "Choose or write your answer first.");
  if (!isDeferred && Number.isNaN(sure)) {
    return refuse(byId("sure"), `How sure are you of ${quoted(answer)}? A number from 0 to 100.`);
  }
  if (!isDeferred && sure > 0 && sure <= 1 && doubted !== typed) {
    doubted = typed;
    return refuse(byId("sure"), `That is ${sure} %. If you mean ${100 * sure} %, write ${100 * sure}; ` +
      "if not, press Enter once more.");
  }
  const stands = isModels(one, answer) ? "accept" : "override";
  const action = !own ? "commit" : isDeferred ? "defer" : stands;
  const { item_id, image_id, domain, modality, question_type } = one;
  add({
    at: new Date().toISOString(), reader: state.reader, ...data.about,
    item_id, image_id, domain, modality, question_type, action,
    answer: isDeferred ? null : answer,
    confidence: isDeferred ? null : sure / 100,
    gold: one.golds.length > 1 ? one.golds : one.golds[0] ?? null, options: one.options,
    model_answer: one.answer, model_confidence: one.confidence, model_correct: one.correct,
    seconds: Math.round((performance.now() - since) / 10) / 100,
  });
  if (!own) {
    show();
    byId("says").focus();
  } else {
    goOn();
  }
}

// to the next case without a decision, round the end of the set
function goOn() {
  const places = cases.map((_, k) => (place + 1 + k) % cases.length);
  const next = places.find((k) => !decisionOf(cases[k].item_id));
  if (next !== undefined) return go(next);
  show();
  summarise();
}

function go(to) {
  place = Math.min(Math.max(to, 0), cases.length - 1);
  byId("summary").hidden = true;
  show();
  byId("question").focus();
}

function takeOver() {
  if (byId("take").hidden || byId("take").disabled) return;
  select(cases[place].answer);
  changed();
  refuse(byId("sure"), `How sure are you of ${quoted(cases[place].answer)}?`);
}

// Summary

// Wilson's interval: every case is about an image of its own
function wilson(k, n) {
  const z = 1.959963984540054;
  const middle = (k + z * z / 2) / (n + z * z);
  const half = z / (n + z * z) * Math.sqrt(k * (n - k) / n + z * z / 4);
  return [middle - half, middle + half];
}

// The reader alone, with the model, and the model alone, on the cases that all three have answered
// and that are graded: [confidence, grade] of each.
function summarise() {
  const decided = cases.filter((one) => decisionOf(one.item_id));
  const answered = decided.filter((one) => decisionOf(one.item_id).action !== "defer");
  const graded = (one, row) => [row.confidence, gradeOf(one, row.answer)];
  const rows = answered.map((one) => [graded(one, commitOf(one.item_id)), graded(one, decisionOf(one.item_id)),
    [one.confidence, one.correct]]);
  const pairs = rows.filter((row) => row.every(([, grade]) => typeof grade === "boolean"));
  const open = answered.filter((one) => !one.options);
  byId("compared").textContent = `${decided.length} of ${cases.length} cases decided; compared are ` +
    `${pairs.length}, the same in each row. Left out: ${decided.length - answered.length} deferred, ` +
    `${rows.length - pairs.length} without a grade.`;
  byId("open").replaceChildren();
  for (const one of open) {
    const words = [commitOf(one.item_id).answer, decisionOf(one.item_id).answer].map(quoted).join(", then ");
    make(byId("open"), "li", `Case ${1 + cases.indexOf(one)}, in your words: ${words}. ${goldOf(one)}`);
  }
  byId("scores").replaceChildren();
  if (pairs.length) {
    ["You alone", "You with the model", "The model alone"].forEach((name, k) =>
      score(name, pairs.map((row) => row[k])));
  }
  const count = (before, after) => pairs.filter(([alone, both]) => alone[1] === before && both[1] === after).length;
  byId("changes").textContent = `With the model’s answer ${count(false, true)} of your wrong answers ` +
    `became right, and ${count(true, false)} of your right answers wrong.`;
  byId("summary").hidden = false;
  byId("result").focus();
}

function score(name, answers) {
  const n = answers.length;
  const k = answers.filter(([, correct]) => correct).length;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / n;
  const [low, high] = wilson(k, n);
  const brier = mean(answers.map(([confidence, correct]) => (confidence - Number(correct)) ** 2));
  const row = make(byId("scores"), "tr");
  make(row, "th", name, { scope: "row" });
  make(row, "td", `${k} of ${n}: ${percent(k / n)} (${percents(low, high)})`);
  make(row, "td", percent(mean(answers.map(([confidence]) => confidence))));
  make(row, "td", brier.toFixed(3));
}

// Controls

function enlarge() {
  const isLarge = byId("columns").classList.toggle("large");
  byId("frame").ariaPressed = `${isLarge}`;
}

function clear() {
  if (!confirm("Delete every decision about these cases from this browser?")) return;
  state = { reader: "", rows: [] };
  save();
  go(0);
}

const press = (id) => () => byId(id).hidden || byId(id).click();
const COMMANDS = {
  p: press("previous"), n: press("next"), s: press("summarise"), z: press("frame"), t: press("take"),
  d: press("defer"), k: () => byId("model").hidden || byId("submit").click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.target.matches("input:not([type])")) {
    if (event.key === "Escape") byId("question").focus();
    return;
  }
  const box = byId("answers").querySelectorAll("input")[Number(event.key) - 1];
  const command = box ? () => { box.click(); byId(box.type === "radio" ? "sure" : "text").select(); }
    : COMMANDS[event.key.toLowerCase()];
  if (!command || !byId("keys").checked) return;
  event.preventDefault();
  command();
});
byId("decide").addEventListener("submit", (event) => {
  event.preventDefault();
  decide();
});
// At each letter: a click that leaves the field is then not lost on answers that are shown anew. What
// has been entered and not yet recorded stays.
byId("reader").addEventListener("input", () => {
  const { item_id: item } = cases[place];
  const entered = commitOf(item) ? undefined : [selected(), byId("sure").value];
  load();
  state.reader = byId("reader").value.trim();
  save();
  show();
  if (!entered || commitOf(item)) return;
  select(entered[0]);
  byId("sure").value = entered[1];
});
byId("reader").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  if (selected()) decide();
  else byId("question").focus();
});
window.addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
byId("answers").addEventListener("input", changed);
byId("image").addEventListener("load", smooth);
const BUTTONS = {
  previous: () => go(place - 1), next: () => go(place + 1), take: takeOver, defer: () => decide(true),
  summarise: () => (byId("summary").hidden ? summarise() : go(place)), frame: enlarge, clear,
};
for (const [id, act] of Object.entries(BUTTONS)) byId(id).addEventListener("click", act);

load();
byId("about").textContent =
  `The model: ${data.about.model}. The questions: ${data.about.dataset}. ${data.how}`;
const first = cases.findIndex((one) => !decisionOf(one.item_id));
place = Math.max(first, 0);
show();
if (first < 0) summarise();
else byId("question").focus();
