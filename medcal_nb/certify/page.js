"use strict";
// One answer at a time; after each grade the test says which one is asked next, or that none is.
// What a grader says is a line that is only ever added, with the hash of the line before it. Words of
// the data become text, never markup.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const test = JSON.parse(atob(data.test));
const KEY = `medcal-certify:${data.set}`;
// with one place at least, and those that tell a share from none and from all, as the study writes it
const percent = (share) => {
  const texts = [1, 2].map((places) => (100 * share).toFixed(places));
  const isSo = (text) => Math.abs(text - 100 * share) < 1e-7 || (text > 0 && text < 100);
  return `${texts.find(isSo) ?? (share < 0.5 ? "< 0.01" : "> 99.99")}\u00a0%`;
};
const WORDS = { 1: "right", 0: "wrong", "?": "cannot be graded" };
const BUTTONS = { g1: "1", g0: "0", gx: "?" };
const caseOfRow = new Map(data.cases.map((one, k) => [one.row, k]));

let who = "";
let lines = []; // of the sitting, as they are downloaded
let graded = []; // cases in the order in which they were last graded
let grades = {}; // the last grade of each case
let place = null; // the case that is shown
let most = 0; // grades that may still be asked for
let own = ""; // the grader's answer to it
let isSaved = true;

function stored(name) {
  try {
    return localStorage.getItem(`${KEY}:${name}`);
  } catch {
    return null; // no storage: grades last as long as the page
  }
}

function store(name, value) {
  try {
    localStorage.setItem(`${KEY}:${name}`, value);
    isSaved = true;
  } catch {
    isSaved = false;
  }
}

function add(entry) {
  const before = lines.length ? sha256(lines.at(-1)) : data.plan;
  const time = `${new Date().toISOString().slice(0, 19)}+00:00`;
  lines.push(JSON.stringify({ before, time, ...entry }));
  store(`of ${who}`, JSON.stringify(lines));
}

function take(line) {
  const entry = JSON.parse(line);
  if (entry.kind !== "grade") return;
  const k = caseOfRow.get(entry.row);
  graded = [...graded.filter((one) => one !== k), k];
  grades[k] = entry.grade;
}

function begin(name) {
  who = name;
  [lines, graded, grades] = [[], [], {}];
  store("who", who);
  const known = stored(`of ${who}`);
  if (known) lines = JSON.parse(known);
  else add({ kind: "sitting", who, page: data.name });
  lines.forEach(take);
  byId("begin").hidden = true;
  byId("work").hidden = false;
  go();
}

// The case that is asked next; null where none is, or where this page does not hold it.
function nextCase() {
  const taken = { ...test.known };
  const gradeOf = (k) => (k in grades ? Number(grades[k] === "1") : taken[k]);
  let left = test.budget_in_all - graded.length - test.n_known;
  let stands, open, known;
  do { // grades that the table has are taken when they are asked for
    stands = test.sequences.map((one) => standOf(one, gradeOf, test));
    open = stands.filter((one) => one.next !== undefined);
    known = left > 0 ? open.find((one) => one.next in test.of_table) : undefined;
    if (known) [taken[known.next], left] = [test.of_table[known.next], left - 1];
  } while (known);
  say(stands, open.length > 0, left > 0);
  const isLeft = data.cases.filter((_, k) => !(k in grades)).length;
  most = open.length ? Math.max(Math.min(left, isLeft), 0) : 0;
  if (!most) return null;
  const wanted = open.map((one) => one.next).filter((k) => k < data.cases.length);
  if (wanted.length) return wanted[graded.length % wanted.length];
  // a page of a part of the answers: those left of it
  return data.cases.findIndex((_, k) => !(k in grades));
}

// What stands, in words for somebody who knows no statistics; the command says the numbers.
function say(stands, isOpen, isLeft) {
  const isPart = isOpen && isLeft;
  byId("ended").textContent = isPart ? "Every answer of this page is graded" : "You are done: no more answers are needed";
  const shares = stands.map((one, s) => test.sequences[s].coverages[one.passed] ?? 0);
  const share = Math.max(0, ...shares);
  const [first, ...others] = stands;
  let text = `No cut-off was found for any of the ${stands.length} confidences of these answers.`;
  if (share) text = `${data.ends.certified} ${percent(share)} of the answers here that have a confidence reach it; which confidence it is the command says.`;
  else if (isPart) text = "That is not enough to tell whether there is a cut-off.";
  else if (!others.length) text = filled(data.ends[isOpen ? "budget used" : first.state], first);
  byId("outcome").textContent = isPart ? `${text} More answers are needed than this page holds.` : text;
}

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function go() {
  place = nextCase();
  byId("end").hidden = place !== null;
  byId("work").querySelector("main").hidden = place === null;
  show();
}

function show() {
  const warning = isSaved ? "" : " This browser does not save them: download before you close the page.";
  const more = place === null ? "none is left to grade" : `at most ${most} more`;
  byId("progress").textContent = `${graded.length} graded by ${who}, ${more}.${warning}`;
  byId("back").disabled = !graded.length || place === graded[0];
  byId("last").textContent = echo();
  const link = byId("download");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "application/json" }));
  link.download = `${data.name}.sitting.${who.replace(/[^\p{L}\p{N}]+/gu, "_")}.jsonl`;
  if (place === null) return;
  const one = data.cases[place];
  byId("question").textContent = one.question || "(no question in the table)";
  byId("where").textContent = one.image ? "" : `Look it up in your viewer, no image is on this page: ${one.where}.`;
  Object.assign(byId("image"), { src: one.image || "data:,", alt: "Image of this case", hidden: !one.image });
  const isAsked = data.own && !(place in grades) && !own;
  byId("own").hidden = !isAsked;
  byId("shown").hidden = isAsked;
  byId("yours").textContent = own ? `Your answer: ${own}` : "";
  byId("answer").textContent = one.answer || "(not in the table)";
  byId("gold").textContent = one.gold ? `Right answer in the table: ${one.gold}` : "";
  byId("grade").textContent = place in grades ? `Graded: ${WORDS[grades[place]]}. Grade again to change it.` : "";
  if (isAsked) byId("text").focus();
}

// The grade before this case, so that a slip of the finger is seen.
function echo() {
  if (!graded.length || graded.includes(place)) return "";
  const k = graded.at(-1);
  return `Last grade: ${WORDS[grades[k]]} (${data.cases[k].where}).`;
}

function grade(word) {
  if (place === null || byId("shown").hidden || byId("work").hidden) return;
  const entry = { kind: "grade", row: data.cases[place].row, grade: word };
  add(own ? { ...entry, own } : entry);
  take(lines.at(-1));
  own = "";
  go();
}

function back() {
  const at = place === null || !graded.includes(place) ? graded.length : graded.indexOf(place);
  if (at < 1) return;
  place = graded[at - 1];
  own = "";
  byId("end").hidden = true;
  byId("work").querySelector("main").hidden = false;
  show();
}

for (const [id, word] of Object.entries(BUTTONS)) byId(id).addEventListener("click", () => grade(word));
byId("back").addEventListener("click", back);
byId("other").addEventListener("click", () => {
  byId("work").hidden = byId("end").hidden = true;
  byId("begin").hidden = false;
  byId("name").value = "";
  byId("name").focus();
});
byId("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("name").value.trim();
  if (name) begin(name);
});
byId("own").addEventListener("submit", (event) => {
  event.preventDefault();
  own = byId("text").value.trim();
  byId("text").value = "";
  byId("text").blur(); // the next key is a grade
  if (own) show();
});
addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const isBack = event.key.toLowerCase() === "b";
  if (!isBack && !(event.key in WORDS)) return;
  event.preventDefault(); // the key is no letter of a field that is shown next
  if (isBack) back();
  else grade(event.key);
});
byId("most").textContent = Math.min(test.budget_in_all - test.n_known, data.cases.length);
const last = stored("who");
if (last) begin(last);
else byId("name").focus();
