"use strict";
// One answer at a time, graded by a key; the sheet is written as it came, with the grades in it.
// Words of the data become text, never markup.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const KEY = `medcal-grades:${data.set}`;
const WORDS = { 1: "right", 0: "wrong", "?": "cannot be graded" };
const BUTTONS = { g1: "1", g0: "0", gx: "?" };

let grades = {}; // by the row of the sheet
try {
  grades = JSON.parse(localStorage.getItem(KEY)) ?? {};
} catch { /* no storage: grades last as long as the page */ }
let place = Math.max(0, data.cases.findIndex((one) => !(one.row in grades)));

const quoted = (cell) => `"${String(cell ?? "").replaceAll('"', '""')}"`;

function sheet() {
  const at = data.columns.indexOf("correct");
  const lines = data.rows.map((cells, row) =>
    cells.map((cell, k) => quoted(k === at && row in grades ? grades[row] : cell)).join(","));
  return [data.columns.map(quoted).join(","), ...lines, ""].join("\n");
}

function show() {
  const one = data.cases[place];
  const n = data.cases.filter(({ row }) => row in grades).length;
  byId("question").textContent = `${place + 1} of ${data.cases.length}: ${one.question || one.item}`;
  byId("answer").textContent = one.answer || "(not in the sheet)";
  byId("gold").textContent = one.gold ? `Right answer in the data: ${one.gold}` : "";
  const alt = `Image of answer ${place + 1}`;
  Object.assign(byId("image"), { src: one.image || "data:,", alt, hidden: !one.image });
  byId("grade").textContent = one.row in grades ? `Graded: ${WORDS[grades[one.row]]}.` : "";
  byId("progress").textContent = `${n} of ${data.cases.length} graded`;
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === data.cases.length - 1;
  const link = byId("download");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/csv" }));
  Object.assign(link, { download: data.name, textContent: `Download ${data.name}` });
}

function move(step) {
  place = Math.min(Math.max(place + step, 0), data.cases.length - 1);
  show();
}

function grade(word) {
  grades[data.cases[place].row] = word;
  try {
    localStorage.setItem(KEY, JSON.stringify(grades));
  } catch { /* no storage */ }
  move(1);
}

for (const [id, word] of Object.entries(BUTTONS)) byId(id).addEventListener("click", () => grade(word));
byId("previous").addEventListener("click", () => move(-1));
byId("next").addEventListener("click", () => move(1));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { p: -1, n: 1 }[event.key.toLowerCase()];
  if (step) move(step);
  else if (event.key in WORDS) grade(event.key);
});
show();
