"use strict";
// One case at a time: the reader's answer and confidence, then the model's, then a decision. What a
// reader says is a row that is only ever added; of the decisions about a case the last one counts.
// Words of the data become text, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const KEY = `medcal-reader:${data.set}`;
const cases = data.cases;
const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const quoted = (text) => `“${text}”`;
const SMALL = 256; // pixels: images of fewer are enlarged without smoothing

let kept = { reader: "", rows: [] };
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
// long as the page.
function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY));
    if (Array.isArray(stored?.rows) && stored.rows.length >= kept.rows.length) {
      kept = { reader: String(kept.reader || stored.reader), rows: stored.rows };
    }
  } catch { /* no storage, or nothing of ours in it */ }
}

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
    unsaved = false;
  } catch {
    unsaved = kept.rows.length > 0;
  }
}

function add(row) {
  load();
  kept.rows.push(row);
  save();
}

function rowsOf(item, isCommit) {
  return kept.rows.filter((row) => row.reader === kept.reader && row.item_id === item &&
    (row.action === "commit") === isCommit);
}
const commitOf = (item) => rowsOf(item, true)[0];
const decisionOf = (item) => rowsOf(item, false).at(-1);

// Answers

// What of a text counts when answers are compared, as far as the package's answer_key goes with
// words: case, punctuation, articles, plurals; number words are digits.
const NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
  "eleven", "twelve"];

function singular(word) {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && /(ss|sh|ch|x|z)es$/.test(word)) return word.slice(0, -2);
  return word.length > 3 && /[^suiao]s$/.test(word) ? word.slice(0, -1) : word;
}

function keyOf(text) {
  const plain = text.normalize("NFKC").toLowerCase().replace(/[’'](?=s\b|t\b)/g, "")
    .replace(/\bx[\s-]?rays?\b/g, "xray").replace(/(\d)(?=\p{L})/gu, "$1 ");
  const words = plain.match(/\d+\.\d+|[\p{L}\p{N}]+|[%°+]/gu) ?? [];
  const digits = words.map((word) => (NUMBERS.includes(word) ? `${NUMBERS.indexOf(word)}` : word));
  const rest = digits.filter((word) => !["a", "an", "the"].includes(word)).map(singular);
  return (rest.length ? rest : digits).join(" ");
}

// With the model's answer shown, it can be chosen too, if it is none of the options.
function optionsOf(one) {
  if (!one.options) return null;
  const known = one.options.includes(one.answer) || !commitOf(one.item_id);
  return known ? one.options : [...one.options, one.answer];
}

function gradeOf(one, answer) {
  if (keyOf(answer) === keyOf(one.answer)) return one.correct;
  if (one.options) return one.right[one.options.indexOf(answer)] ?? null;
  return one.accepted.length ? one.accepted.includes(keyOf(answer)) : null;
}

function chosen() {
  const options = optionsOf(cases[place]);
  if (!options) return at("text").value.trim();
  const box = at("answers").querySelector("input:checked");
  return box ? options[Number(box.value)] : "";
}

function choose(answer) {
  const options = optionsOf(cases[place]);
  if (!options) at("text").value = answer;
  else at("answers").querySelectorAll("input").forEach((box, k) => (box.checked = options[k] === answer));
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
  at("question").textContent = `Case ${place + 1} of ${cases.length}: ${one.question ?? "(question unknown)"}`;
  at("image").src = one.image;
  at("image").alt = `Image of case ${place + 1}`;
  at("frame").hidden = !one.image;
  at("frame").ariaLabel = `Image of case ${place + 1}, enlarge or reduce (Z)`;
  at("note").textContent = [data.note, one.image ? "" : "No image of this case."].join(" ").trim();
  showAnswers(one);
  const last = decision?.answer ? decision : own;
  choose(last?.answer ?? "");
  at("sure").value = last ? `${Number((100 * last.confidence).toFixed(6))}` : "";
  at("decided").textContent = !decision ? "" : decision.action === "defer"
    ? "You deferred this case." : `You decided ${said(decision)}.`;
  at("status").textContent = "";
  doubted = "";
  since = performance.now();
  at("model").hidden = !own;
  if (own) showModel(one, own);
  for (const name of ["take", "defer"]) at(name).hidden = !own;
  at("take").disabled = own !== undefined && keyOf(own.answer) === keyOf(one.answer);
  at("previous").disabled = place === 0;
  at("next").disabled = place === cases.length - 1;
  showProgress();
  relabel();
}

function showAnswers(one) {
  const options = optionsOf(one);
  const box = at("answers");
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

const said = (row) => `${quoted(row.answer)}, ${percent(row.confidence)} sure`;

function showModel(one, own) {
  const { n, n_wrong: wrong, low, high } = one.similar ?? {};
  at("says").textContent = `The model says ${quoted(one.answer)}, confidence ${percent(one.confidence)}`;
  at("own").textContent = `You said ${said(own)}, before you saw it.`;
  at("rate").textContent = one.similar
    ? `Of ${n} such answers ${wrong} ${wrong === 1 ? "was" : "were"} wrong, 95 % CI ` +
      `${Math.round(100 * low)} to ${percent(high)}.`
    : "No such answer has been graded: how often they are wrong is unknown.";
  at("alike").textContent = one.similar
    ? `Such answers, about other images: ${likenesses(one).join(", ")}.` : "";
  at("others").textContent = one.n_others
    ? `Other elicitation methods that gave this answer: ${one.n_agree} of ${one.n_others}.` : "";
  at("past").replaceChildren();
  at("past").parentNode.hidden = one.past.length === 0;
  for (const past of one.past) {
    const item = make(at("past"), "li");
    if (past.image) make(item, "img", "", { src: past.image, alt: "Image of a past case", onload: smooth });
    const outcome = past.correct ? "✓ right" : `✗ wrong${past.gold ? `, it was ${quoted(past.gold)}` : ""}`;
    make(item, "span", `${past.question} The model: ${quoted(past.answer)}, confidence ` +
      `${percent(past.confidence)}: ${outcome}`);
  }
}

function likenesses({ alike, similar: { spans } }) {
  const span = ([low, high]) => `${Math.round(100 * low)} to ${percent(high)}`;
  const words = {
    kind: "same kind of question",
    agreement: `${span(spans.agreement)} of the other elicitation methods agree`,
    modality: "same modality",
  };
  return [`confidence ${span(spans.confidence)}`, ...alike.map((name) => words[name])];
}

function smooth(event) {
  const image = event.target;
  image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < SMALL);
}

function showProgress() {
  const n = cases.filter((one) => decisionOf(one.item_id)).length;
  const warning = unsaved ? " This browser does not save them: download before you close the page." : "";
  at("progress").textContent = `${n} of ${cases.length} decided.${warning}`;
  const rows = kept.rows.map((row) => JSON.stringify(row)).join(",\n");
  at("download").href = `data:application/json;charset=utf-8,${encodeURIComponent(`[\n${rows}\n]\n`)}`;
  at("reader").value = kept.reader;
}

// The button says what it records; an answer changed after the model's was seen loses the confidence
// that was given for another.
function relabel() {
  const own = commitOf(cases[place].item_id);
  const same = own && chosen() === own.answer;
  const words = !own ? ["Show the model’s answer"] : [same ? "Keep my answer " : "Record this answer "];
  at("submit").replaceChildren(...words);
  if (own) make(at("submit"), "kbd", "K");
}

function changed() {
  const own = commitOf(cases[place].item_id);
  if (own) at("sure").value = chosen() === own.answer ? `${Number((100 * own.confidence).toFixed(6))}` : "";
  relabel();
}

// Deciding

function refuse(field, words) {
  at("status").textContent = words;
  field.focus();
  field.select?.();
}

function decide(isDeferred = false) {
  const one = cases[place];
  const own = commitOf(one.item_id);
  const answer = chosen();
  const typed = at("sure").value;
  const sure = sureOf(typed);
  const first = at("answers").querySelector("input");
  if (!kept.reader) return refuse(at("reader"), "Write your name or a code first.");
  if (!isDeferred && !answer) return refuse(first, "Choose or write your answer first.");
  if (!isDeferred && Number.isNaN(sure)) {
    return refuse(at("sure"), `How sure are you of ${quoted(answer)}? A number from 0 to 100.`);
  }
  if (!isDeferred && sure > 0 && sure <= 1 && doubted !== typed) {
    doubted = typed;
    return refuse(at("sure"), `That is ${sure} %. If you mean ${100 * sure} %, write ${100 * sure}; ` +
      "if not, press Enter once more.");
  }
  const isSame = keyOf(answer) === keyOf(one.answer);
  const action = !own ? "commit" : isDeferred ? "defer" : isSame ? "accept" : "override";
  const { item_id, image_id, domain, modality, question_type } = one;
  add({
    at: new Date().toISOString(), reader: kept.reader, ...data.about,
    item_id, image_id, domain, modality, question_type, action,
    answer: isDeferred ? null : answer,
    confidence: isDeferred ? null : sure / 100,
    correct: isDeferred ? null : gradeOf(one, answer),
    model_answer: one.answer, model_confidence: one.confidence, model_correct: one.correct,
    seconds: Math.round((performance.now() - since) / 10) / 100,
  });
  if (!own) {
    show();
    at("says").focus();
  } else {
    goOn();
  }
}

// to the next case without a decision, round the end of the set
function goOn() {
  const places = cases.map((_, k) => (place + 1 + k) % cases.length);
  const open = places.find((k) => !decisionOf(cases[k].item_id));
  if (open !== undefined) return go(open);
  show();
  summarise();
}

function go(to) {
  place = Math.min(Math.max(to, 0), cases.length - 1);
  at("summary").hidden = true;
  show();
  at("question").focus();
}

function takeOver() {
  if (at("take").hidden || at("take").disabled) return;
  choose(cases[place].answer);
  changed();
  refuse(at("sure"), `How sure are you of ${quoted(cases[place].answer)}?`);
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
// and that are graded.
function summarise() {
  const decisions = cases.map((one) => decisionOf(one.item_id)).filter((row) => row);
  const pairs = decisions.map((row) => ({ alone: commitOf(row.item_id), both: row }))
    .filter(({ alone, both }) => [alone.correct, both.correct, both.model_correct]
      .every((grade) => typeof grade === "boolean"));
  const deferred = decisions.filter((row) => row.action === "defer").length;
  const ungraded = decisions.length - deferred - pairs.length;
  at("compared").textContent = `${decisions.length} of ${cases.length} cases decided; compared are ` +
    `${pairs.length}, the same in each row. Left out: ${deferred} deferred, ${ungraded} without a grade.`;
  at("scores").replaceChildren();
  if (pairs.length) {
    score("You alone", pairs.map(({ alone }) => [alone.confidence, alone.correct]));
    score("You with the model", pairs.map(({ both }) => [both.confidence, both.correct]));
    score("The model alone", pairs.map(({ both }) => [both.model_confidence, both.model_correct]));
  }
  const count = (before, after) => pairs.filter(({ alone, both }) =>
    alone.correct === before && both.correct === after).length;
  at("changes").textContent = `With the model’s answer ${count(false, true)} of your wrong answers ` +
    `became right, and ${count(true, false)} of your right answers wrong.`;
  at("summary").hidden = false;
  at("result").focus();
}

function score(name, answers) {
  const n = answers.length;
  const k = answers.filter(([, correct]) => correct).length;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / n;
  const [low, high] = wilson(k, n);
  const brier = mean(answers.map(([confidence, correct]) => (confidence - Number(correct)) ** 2));
  const row = make(at("scores"), "tr");
  make(row, "th", name, { scope: "row" });
  make(row, "td", `${k} of ${n}: ${percent(k / n)} (${Math.round(100 * low)} to ${percent(high)})`);
  make(row, "td", percent(mean(answers.map(([confidence]) => confidence))));
  make(row, "td", brier.toFixed(3));
}

// Controls

function enlarge() {
  const isLarge = at("columns").classList.toggle("large");
  at("frame").ariaPressed = `${isLarge}`;
}

const press = (id) => () => at(id).hidden || at(id).click();
const COMMANDS = {
  p: press("previous"), n: press("next"), s: press("summarise"), z: press("frame"), t: press("take"),
  d: press("defer"), k: () => at("model").hidden || at("submit").click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.target.matches("input:not([type])")) {
    if (event.key === "Escape") at("question").focus();
    return;
  }
  const box = at("answers").querySelectorAll("input")[Number(event.key) - 1];
  const command = box ? () => { box.click(); at(box.type === "radio" ? "sure" : "text").select(); }
    : COMMANDS[event.key.toLowerCase()];
  if (!command || !at("keys").checked) return;
  event.preventDefault();
  command();
});
at("decide").addEventListener("submit", (event) => {
  event.preventDefault();
  decide();
});
at("reader").addEventListener("change", () => {
  kept.reader = at("reader").value.trim();
  save();
  show();
});
at("reader").addEventListener("keydown", (event) => {
  if (event.key === "Enter") at("question").focus();
});
at("clear").addEventListener("click", () => {
  if (!confirm("Delete every decision about these cases from this browser?")) return;
  kept = { reader: "", rows: [] };
  save();
  go(0);
});
window.addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
at("answers").addEventListener("input", changed);
at("image").addEventListener("load", smooth);
at("previous").addEventListener("click", () => go(place - 1));
at("next").addEventListener("click", () => go(place + 1));
at("summarise").addEventListener("click", () => (at("summary").hidden ? summarise() : go(place)));
at("take").addEventListener("click", takeOver);
at("defer").addEventListener("click", () => decide(true));
at("frame").addEventListener("click", enlarge);

load();
at("about").textContent = `Answers of ${data.about.model} to ${data.about.dataset}, elicited by ` +
  `${data.about.strategy.replaceAll("_", " ")}.`;
const open = cases.findIndex((one) => !decisionOf(one.item_id));
place = Math.max(open, 0);
show();
if (!kept.reader) at("reader").focus();
else if (open < 0) summarise();
