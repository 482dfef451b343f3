"""The grading page in a real browser: its test is the package's, and a sitting is taken in."""

import base64
import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect

from medcal_nb.answers import load_answers
from medcal_nb.certify import certify_methods
from medcal_nb.certify.certification import Certification
from medcal_nb.certify.check import check
from medcal_nb.certify.ledger import line_hash
from medcal_nb.certify.page import _FOLDER, test_of, write_page
from medcal_nb.certify.pool import METHOD
from medcal_nb.errors import MedcalError
from tests.browser.conftest import ARGUMENTS, Complaints

test_of.__test__ = False  # no test of pytest
pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: A page that took it for mark-up would draw it; a reply's plain tags are left out anyway.
ANSWER = 'no <img src="x"> "mass"'
SIT = """([test, right]) => {
  const grades = {};
  const asked = [];
  for (;;) {
    const stands = test.sequences.map((one) => standOf(one, (k) => grades[k], test));
    const open = stands.filter((one) => one.next !== undefined);
    if (!open.length || asked.length >= test.budget_in_all) return [asked, stands];
    const k = open[asked.length % open.length].next;
    grades[k] = right[k];
    asked.push(k);
  }
}"""


@pytest.fixture(scope="module")
def scripts(chromium):
    """A page that holds the scripts alone."""
    page = chromium.new_page()
    text = "\n".join((_FOLDER / name).read_text() for name in ("sha256.js", "rule.js"))
    page.set_content(f"<script>{text}</script>")
    yield page
    page.close()


@pytest.mark.parametrize("text", ["", "a", "π" * 55, "b" * 63, "c" * 64, "d" * 1000])
def test_a_line_has_the_hash_that_python_gives_it(scripts, text):
    assert scripts.evaluate("sha256", text) == line_hash(text)


def made(folder, rng, n, n_methods=1):
    """A file of answers that nobody has graded, and whether each is right, by item."""
    folder.mkdir()
    confidence = (
        rng.random(n) if rng.random() < 0.5 else rng.choice([0.7, 0.8, 0.9, 0.95], n)
    )
    items = pd.DataFrame({"item_id": [f"q{i}" for i in range(n)]})
    items["question"] = "Is there a mass in " + items["item_id"] + "?"
    items["answer"] = rng.choice(["yes", "no"], n)
    parts = []
    for k in range(n_methods):
        noise = confidence + k * rng.normal(0, 0.1, n)
        part = items.assign(strategy=f"method {k}", confidence=noise.clip(0, 1))
        parts.append(part)
    pd.concat(parts).to_csv(folder / "a.csv", index=False)
    right = rng.random(n) < 1 - (1 - confidence) * rng.uniform(0.1, 1)
    return folder / "a.csv", pd.Series(right.astype(int), items["item_id"])


def sit(scripts, run, right):
    """Sit in the browser to the end: rows asked, in their order, and where each method stands."""
    test = test_of(run)
    number = {case: case for case in test.asked}
    tables = test.as_json(number)
    of_case = {c: int(right[run.pool.rows["item_id"][r]]) for c, r in test.rows.items()}
    cases, stands = scripts.evaluate(SIT, [tables, of_case])
    return [test.rows[case] for case in cases], stands


@pytest.mark.parametrize("seed", range(12))
def test_the_page_asks_what_the_package_asks_and_ends_where_it_ends(
    scripts, tmp_path, seed
):
    rng = np.random.default_rng(seed)
    file, right = made(tmp_path / "one", rng, int(rng.choice([60, 300, 900])))
    risk, budget = rng.choice([0.02, 0.05, 0.1, 0.2]), int(rng.choice([50, 100, 400]))
    answers = load_answers(file, ungraded=True)
    run = Certification(file, answers, risk=float(risk), budget=budget)
    rows, [stand] = sit(scripts, run, right)
    for number, row in enumerate(rows):
        # a test of all answers before; what is asked in between stands in the next one's grades
        if number % 5 == 0:
            assert run.stand(1).next.tolist() == [row]
        run.grades[row] = right[run.pool.rows["item_id"][row]]
    end = run.stand(1)
    assert not end.next.size
    one = end.table.iloc[0]
    coverages = [0.0, *test_of(run).sequences[0]["coverages"]]
    assert coverages[stand["passed"] + 1] == pytest.approx(one["coverage"])
    assert stand.get("state", "budget used") == one["state"]
    if one["state"] in ("refuted", "not shown"):
        seen = (stand["graded"], stand["errors"], stand["p"])
        of_package = one[["group_graded", "group_errors", "p_value"]].astype(float)
        assert seen == pytest.approx(tuple(of_package))


@pytest.mark.parametrize("seed", range(4))
def test_methods_end_where_the_package_ends_them(scripts, tmp_path, seed):
    rng = np.random.default_rng(seed)
    file, right = made(tmp_path / "some", rng, 300, n_methods=3)
    answers = load_answers(file, ungraded=True)
    run = Certification(file, answers, risk=0.2, budget=int(rng.choice([80, 400])))
    rows, stands = sit(scripts, run, right)
    graded = run.pool.rows.assign(correct=np.nan)
    items = run.pool.rows["item_id"]
    graded.loc[rows, "correct"] = right[items[rows]].to_numpy(float)
    plan = {name: run.plan[name] for name in ("risk", "delta", "budget", "seed")}
    end = certify_methods(graded, by=METHOD, **plan)
    sequences = test_of(run).sequences
    for stand, sequence, one in zip(
        stands, sequences, end.table.itertuples(), strict=True
    ):
        coverages = [0.0, *sequence["coverages"]]
        assert coverages[stand["passed"] + 1] == pytest.approx(one.coverage)
    assert len(rows) == len(set(rows)) <= run.plan["budget"]


@pytest.fixture
def pool(tmp_path):
    """200 answers about images, one in ten wrong, and what is right."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"item_id": [f"q{i:03}" for i in range(200)]})
    rows["question"] = [f"Is there a\nmass in {i}?" for i in range(200)]
    rows["image"] = rows["item_id"] + ".png"
    rows["answer"] = ANSWER
    rows["confidence"] = rng.choice([0.81, 0.87, 0.93], 200)
    for k, name in enumerate(rows["image"]):
        Image.new("L", (8, 8), k).save(tmp_path / name)
    rows.to_csv(tmp_path / "a.csv", index=False)
    return rows.assign(right=rng.random(200) < 0.9).set_index("question")


def opened(folder, **plan):
    return Certification(
        folder / "a.csv", load_answers(folder / "a.csv", ungraded=True), **plan
    )


def grade(page, pool, n=1):
    """Grade so many cases by keys, as they are right or wrong; return the questions asked."""
    asked = []
    for _ in range(n):
        if page.locator("#end").is_visible():
            break
        question = page.locator("#question").inner_text()
        asked.append(question)
        page.keyboard.press("1" if pool.loc[text_of(question), "right"] else "0")
    return asked


def text_of(question):
    return question.replace("a mass", "a\nmass")


def downloaded(page, folder):
    with page.expect_download() as download:
        page.locator("#download").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_sitting_is_blind_goes_on_and_is_taken_in(chromium, tmp_path, pool):
    run = opened(tmp_path, risk=0.2, budget=60)
    assert "110 with an image" in write_page(run)
    data = re.search(
        'id="data">(.*?)</script>', (tmp_path / "a.grading.html").read_text()
    )[1]
    test = base64.b64decode(json.loads(data)["test"]).decode()
    words = ("0.81", "0.87", "0.93", "confidence", "threshold")
    assert not any(word in data + test for word in words)
    complaints = Complaints()
    page = chromium.new_page(accept_downloads=True)
    complaints.watch(page)
    page.goto((tmp_path / "a.grading.html").as_uri())
    page.keyboard.press("1")  # of no case: a name is asked first
    page.locator("#name").fill("Dr. Ä/B")
    page.keyboard.press("Enter")
    assert page.locator("#answer").inner_text() == ANSWER
    assert page.locator("#image").evaluate("image => image.naturalWidth") == 8
    expect(page.locator("#progress")).to_have_text(
        "0 graded by Dr. Ä/B, at most 60 more."
    )
    first = grade(page, pool, 25)
    page.keyboard.press("b")
    assert page.locator("#question").inner_text() == first[-1]
    page.keyboard.press("?")  # thought better of it
    expect(page.locator("#last")).to_contain_text(
        "Last grade: cannot be graded (item q"
    )
    page.reload()
    expect(page.locator("#progress")).to_have_text(
        "25 graded by Dr. Ä/B, at most 35 more."
    )
    first.append(page.locator("#question").inner_text())
    # held down it is one grade, not one of each case that follows
    page.keyboard.down("1")
    page.keyboard.down("1")
    page.keyboard.up("1")
    expect(page.locator("#progress")).to_contain_text("26 graded")
    rest = grade(page, pool, 100)
    expect(page.locator("#end")).to_be_visible()
    expect(page.locator("#ended")).to_contain_text("no more answers are needed")
    outcome = page.locator("#outcome").inner_text()
    assert ("at most 20 in 100" in outcome, "{" in outcome) == (True, False)
    assert len({*first, *rest}) == len(first) + len(rest) <= 60
    path = downloaded(page, tmp_path)
    assert path.name == "a.sitting.Dr_Ä_B.jsonl"
    n_graded = len(first) + len(rest)
    expect(page.locator("#progress")).to_contain_text(f"{n_graded} graded")
    assert (complaints.errors, complaints.abroad) == ([], [])
    page.close()
    again = opened(tmp_path)
    assert again.n_of_sittings == {path.name: n_graded + 1}
    assert again.n_graded_by_hand == n_graded
    stand = again.stand(1)
    assert not stand.next.size
    again.write_threshold(stand)
    assert opened(tmp_path).n_of_sittings == {path.name: 0}
    faults, facts = check(
        tmp_path / "a.csv", load_answers(tmp_path / "a.csv", ungraded=True)
    )
    assert not faults
    assert f"{n_graded + 1} grades entered by Dr. Ä/B, 1 of them changes" in facts


@pytest.mark.parametrize("how", ["altered", "out", "other"])
def test_a_sitting_that_was_altered_is_refused(chromium, tmp_path, pool, how):
    write_page(opened(tmp_path, risk=0.2, budget=60))
    page = chromium.new_page(accept_downloads=True)
    page.goto((tmp_path / "a.grading.html").as_uri())
    page.locator("#name").fill("A")
    page.keyboard.press("Enter")
    grade(page, pool, 10)
    path = downloaded(page, tmp_path)
    page.close()
    lines = path.read_text().splitlines()
    if how == "altered":
        k = next(k for k, line in enumerate(lines) if '"grade":"1"' in line)
        lines[k] = lines[k].replace('"grade":"1"', '"grade":"?"')
    if how == "out":
        del lines[5]
    if how == "other":
        lines[0] = lines[0].replace('"before":"', '"before":"0')
    path.write_text("\n".join([*lines, ""]))
    said = "no sitting of this certificate" if how == "other" else r"line \d"
    with pytest.raises(MedcalError, match=said):
        opened(tmp_path)


def test_two_graders_answer_first_and_their_agreement_is_known(
    chromium, tmp_path, pool
):
    from medcal_nb.certify.graders import agreements

    write_page(opened(tmp_path, risk=0.2, budget=30), own_answer=True)
    page = chromium.new_page(accept_downloads=True)
    page.goto((tmp_path / "a.grading.html").as_uri())
    asked = []
    for name in ("A", "B"):
        page.locator("#name").fill(name)
        page.keyboard.press("Enter")
        for k in range(30):
            if page.locator("#end").is_visible():
                break
            question = page.locator("#question").inner_text()
            expect(page.locator("#answer")).not_to_be_visible()
            page.keyboard.type("1 mass")  # into the field, no grade
            page.keyboard.press("Enter")
            expect(page.locator("#answer")).to_be_visible()
            is_right = pool.loc[text_of(question), "right"] and (name, k) != ("B", 4)
            page.keyboard.press("1" if is_right else "0")
            asked.append((name, question))
        downloaded(page, tmp_path)
        page.locator("#other").click()
    page.close()
    run = opened(tmp_path)
    [agreement] = agreements(run.ledger)
    both = {q for name, q in asked if name == "A"} & {
        q for name, q in asked if name == "B"
    }
    assert agreement.graders == ("A", "B")
    assert (agreement.n, len(agreement.differing)) == (len(both), 1)
    own = [entry["own"] for entry in run.ledger.of_kind("grade")]
    assert own == ["1 mass"] * len(asked)


def test_an_image_that_is_wanted_and_missing_is_refused_by_name(tmp_path, pool):
    run = opened(tmp_path, risk=0.2, budget=60)
    for path in sorted(tmp_path.glob("q*.png"))[::2]:
        path.unlink()
    for path in sorted(tmp_path.glob("q*.png"))[::20]:
        path.write_text("no image")
    with pytest.raises(MedcalError, match=r"q\d+\.png of q\d+, .*more; put them into"):
        write_page(run)


def test_a_part_of_the_answers_makes_a_page_of_a_part(chromium, tmp_path, pool):
    assert "12 answers" in write_page(opened(tmp_path, risk=0.2, budget=60), only=12)
    page = chromium.new_page(accept_downloads=True)
    page.goto((tmp_path / "a.grading.html").as_uri())
    page.locator("#name").fill("A")
    page.keyboard.press("Enter")
    assert len(grade(page, pool, 60)) == 12
    assert "More answers are needed" in page.locator("#outcome").inner_text()
    downloaded(page, tmp_path)
    page.close()
    run = opened(tmp_path)
    assert run.n_graded_by_hand == 12
    assert run.stand(1).next.size


def chromium_of_its_own(folder):
    """A Chromium as a user starts it, and the address at which it is steered."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    command = [path, "--headless=new", f"--user-data-dir={folder}", *ARGUMENTS]
    port = folder / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*command, "--remote-debugging-port=0", "about:blank"],
        stderr=subprocess.DEVNULL,
    )
    while not (port.exists() and port.read_text().count("\n")):
        assert process.poll() is None
        time.sleep(0.1)
    return process, f"http://127.0.0.1:{port.read_text().splitlines()[0]}"


def test_sixty_grades_outlive_a_browser_that_is_killed(chromium, tmp_path, pool):
    write_page(opened(tmp_path, risk=0.2, budget=60))
    profile = tmp_path / "profile"
    profile.mkdir()
    asked = []
    for n in (30, 60):
        process, address = chromium_of_its_own(profile)
        try:
            browser = chromium.browser_type.connect_over_cdp(address)
            page = browser.contexts[0].new_page()
            page.goto((tmp_path / "a.grading.html").as_uri())
            if asked:
                page.locator("#progress").wait_for()
                n_before = int(page.locator("#progress").inner_text().split()[0])
            else:
                page.locator("#name").fill("A")
                page.keyboard.press("Enter")
            asked += grade(page, pool, n)
            if n == 30:
                time.sleep(
                    8
                )  # the browser writes its storage to the disk every few seconds
            else:
                lines = page.evaluate("lines")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert n_before == 30
    assert len(asked) == len(set(asked))
    (tmp_path / "a.sitting.A.jsonl").write_text("\n".join([*lines, ""]))
    run = opened(tmp_path)
    assert run.n_graded_by_hand == len(asked)
    assert not run.stand(1).next.size
    assert json.loads(lines[0])["who"] == "A"
