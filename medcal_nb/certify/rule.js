"use strict";
// The certifying test of the package (rule.py), on tables that Python computed: this counts and
// looks up. A sequence is the order of grading of one confidence, and groups each larger than the
// one before; a group holds the answers of its number or below, and its first `horizon` are its
// sample. Starts that have come as far as a group test it with their shares of delta together.

// P(at least e of n), each with probability p
function tail(e, n, p) {
  const odds = Math.log(p / (1 - p));
  let below = 0;
  let log = n * Math.log1p(-p);
  for (let k = 0; k < e; k++) {
    below += Math.exp(log);
    log += Math.log((n - k) / (k + 1)) + odds;
  }
  return 1 - below;
}

// errors with which a group passes after n grades; `steps` are the grades after which 0, 1, … may be
function allowedAfter(n, steps) {
  let e = 0;
  while (e < steps.length && steps[e] <= n) e++;
  return e - 1;
}

// How far the grades of a group go: `ends` is passed, open (with the case asked next), hopeless or
// out of reach.
function look(sample, reach, steps, gradeOf, looked, { risk, hopeless }) {
  const most = allowedAfter(reach, steps);
  const hoped = Math.min(risk, Math.max(most, 1) / reach);
  let errors = 0;
  for (let n = 1; n <= reach; n++) {
    const grade = gradeOf(sample[n - 1]);
    if (grade === undefined) return { ends: "open", next: sample[n - 1] };
    looked.add(sample[n - 1]);
    errors += 1 - grade;
    if (errors <= allowedAfter(n, steps)) return { ends: "passed" };
    if (grade === 0 && tail(errors, n, hoped) < hopeless) return { ends: "hopeless" };
    if (errors > most) break;
  }
  return { ends: "out of reach" };
}

// What the grades of a group tell, in their order before one is missing, whether or not its test
// looked at all of them.
function tested(sample, gradeOf, risk) {
  const missing = sample.findIndex((k) => gradeOf(k) === undefined);
  const grades = (missing < 0 ? sample : sample.slice(0, missing)).map(gradeOf);
  const errors = grades.filter((grade) => !grade).length;
  return { graded: grades.length, errors, p: tail(errors, grades.length, risk) };
}

// The state in which a sequence ended, and the group that came nearest, as the package has it.
function endOf(passed, isCut, failed, refuted) {
  const nearest = failed.reduce((best, one) => (best && best.p >= one.p ? best : one), undefined);
  let state = "too few cases";
  if (isCut) state = "budget used";
  else if (passed >= 0) state = "certified";
  else if (nearest) state = nearest.p <= refuted ? "refuted" : "not shown";
  return { passed, state, ...nearest };
}

// Where one sequence stands with some grades (1, 0 or undefined, by case): the last group that
// passed, -1 for none, and the case that is asked next, or, if none is, the state in which it ended.
function standOf(sequence, gradeOf, rule) {
  const looked = new Set();
  let passed = -1;
  let open = 0;
  let isCut = false;
  const failed = [];
  for (const [number, group] of sequence.groups.entries()) {
    open += group.opens;
    if (!open) continue;
    const sample = [];
    for (let k = 0; k < sequence.order.length && sample.length < group.horizon; k++) {
      if (sequence.first[k] <= number) sample.push(sequence.order[k]);
    }
    let reach = 0;
    let left = rule.budget - looked.size;
    while (reach < sample.length && (looked.has(sample[reach]) || left-- > 0)) reach++;
    const steps = group.steps[open - 1];
    const isShort = reach < sample.length;
    const cannot = !reach || allowedAfter(reach, steps) < 0;
    const { ends, next } = cannot ? { ends: "cut" } : look(sample, reach, steps, gradeOf, looked, rule);
    if (ends === "open") {
      return looked.size < rule.budget ? { passed, next } : endOf(passed, true, failed, rule.refuted);
    }
    if (ends === "passed") passed = number;
    else {
      open = 0;
      if (ends === "hopeless" || (ends === "out of reach" && !isShort)) {
        failed.push(tested(sample.slice(0, reach), gradeOf, rule.risk));
      } else isCut ||= isShort;
    }
  }
  return endOf(passed, isCut, failed, rule.refuted);
}
