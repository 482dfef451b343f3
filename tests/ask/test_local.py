"""Local models: replies equal those of plain generate, whatever is shared, batched or reordered."""

import json
import math
import random
import weakref
from collections import Counter
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from medcal_nb.ask import prompts, strategies
from medcal_nb.ask.backends import local, prefix
from medcal_nb.ask.backends.local import LocalModel
from medcal_nb.ask.calls import Generate, LabelProbabilities, Labels, Picture, Prompt
from medcal_nb.ask.models import resolve_model
from medcal_nb.errors import MedcalError
from tests.ask.families import FAMILIES
from tests.ask.tiny import noise_picture, save_checkpoint, tiny_checkpoint
from tests.ask.whole import answer_whole

torch = pytest.importorskip("torch")

BLOCK = prompts.question_block("Which organ is shown?", ["left lung", "heart", "left"])


def backend(family="idefics3", *, max_positions=None):
    model = LocalModel(*tiny_checkpoint(family), name="tiny", device="cpu")
    model.max_positions = max_positions or model.max_positions
    return model


def prompt(picture, instruction=prompts.ANSWER, *later, block=BLOCK):
    return Prompt(picture, (f"{block}\n{instruction}", *later), block)


def some_calls():
    """Greedy, sampled and label calls; two questions an image, and changed images."""
    other = prompts.question_block("Is there a mass?", ["yes", "no"])
    calls = []
    for seed in range(3):
        picture = noise_picture(seed, size=(40 + 8 * seed, 48))
        for block in (BLOCK, other):
            for text in (prompts.ANSWER, strategies.VERBALIZED, strategies.TOP_K):
                calls.append(Generate(prompt(picture, text, block=block), 9))
            asked = prompt(picture, block=block)
            calls += [Generate(asked, 7, seed=str(seed), sample=i) for i in range(3)]
        blank = prompt(noise_picture(seed, "blank"), block=other)
        calls += [
            Labels(prompt(picture), ("left lung", "heart", "left")),
            Labels(blank, ("yes", "no")),
            Generate(prompt(noise_picture(seed, "darker")), 5),
        ]
    return calls


def answer(model, calls):
    with model.session() as session:
        return session.run(calls)


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, LabelProbabilities):
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)
        else:
            for name in ("text", "prompt_tokens", "new_tokens"):
                assert getattr(a, name) == getattr(b, name)
            assert a.logprob == pytest.approx(b.logprob, abs=1e-3)


RECURRENT = list(local.RECURRENT_TYPES)


@pytest.mark.parametrize("family", RECURRENT)
def test_where_no_prefix_can_be_shared_prompts_of_a_batch_change_nothing(family):
    model = backend(family)
    calls = some_calls()[3:15:3]
    assert {type(call) for call in calls} == {Generate, Labels}
    together = answer(model, calls)
    same(together, [answer(model, [call])[0] for call in calls])
    same(together, answer(backend(family, max_positions=300), calls))


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in RECURRENT])
def test_a_shared_prefix_gives_what_whole_prompts_give(family):
    model, calls = backend(family), some_calls()
    followed = []
    for call in calls:
        if isinstance(call, Generate) and not call.seed:
            turns = (*call.prompt.turns, "no", strategies.TWO_STAGE)
            later = Prompt(call.prompt.picture, turns, call.prompt.block)
            followed.append(Generate(later, 6))
    with model.session() as session:
        ours = session.run(calls) + session.run(followed)
    same(ours, answer_whole(model, calls + followed))


def test_beyond_a_sliding_window_prompts_are_asked_whole():
    model = backend("gemma3")
    assert model.window == 512
    long = prompts.question_block("Is there a mass? " * 110, ["yes", "no"])
    texts = (prompts.ANSWER, strategies.VERBALIZED)
    calls = [Generate(prompt(noise_picture(1), text, block=long), 5) for text in texts]
    short = [Generate(Prompt(noise_picture(1), (prompts.ANSWER,)), 5)]
    with model.session() as session:
        ours = session.run(short) + session.run(calls)
    same(ours, answer_whole(model, short + calls))


def test_results_do_not_depend_on_batch_size_or_order(monkeypatch):
    calls = some_calls()
    whole = answer(backend(), calls)
    same(whole, answer(backend(max_positions=300), calls))
    order = random.Random(1).sample(range(len(calls)), len(calls))
    shuffled = answer(backend(), [calls[i] for i in order])
    same([whole[i] for i in order], shuffled)
    same(whole[:9], [answer(backend(), [call])[0] for call in calls[:9]])
    monkeypatch.setattr(prefix, "MOST_ROWS", 5)
    monkeypatch.setattr(prefix, "MOST_PREFILL", 60)
    same(whole, answer(backend(), calls))


@pytest.fixture
def held(monkeypatch):
    """The most positions held at once, by all states and by the tree of beginnings."""
    most, alive = {"tree": 0, "all": 0}, weakref.WeakSet()
    forward = prefix.SharedPrefix._forward

    def computed(engine, state, *arguments):
        forward(engine, state, *arguments)
        alive.add(state)
        tree = {node.state for nodes in engine.nodes.values() for node in nodes}
        for name, states in (("tree", tree), ("all", alive)):
            most[name] = max(most[name], sum(one.mask.numel() for one in states))

    monkeypatch.setattr(prefix.SharedPrefix, "_forward", computed)
    return most


def test_keys_and_values_stay_within_what_is_allowed(held):
    pictures = [noise_picture(seed) for seed in range(12)]
    ways = (prompts.ANSWER, strategies.VERBALIZED, prompts.DESCRIBE)
    rounds = [
        [Generate(prompt(one, *turns, way), 6) for one in pictures for way in ways]
        for turns in ((), (prompts.ANSWER, "left"))
    ]

    def asked(model):
        held.update(tree=0, all=0)
        with model.session() as session:
            return [reply for calls in rounds for reply in session.run(calls)]

    free = asked(backend())
    most = 1200
    assert held["tree"] > most
    assert held["all"] > 3 * most
    tight = asked(backend(max_positions=most))
    assert held["tree"] <= most / 2
    assert held["all"] <= 1.5 * most
    same(free, tight)


def test_a_question_that_holds_the_image_token_fails_alone():
    model = backend("llava")
    mark = model.processor.image_token
    texts = ("Is there a mass?", f"{mark}\nIs there a mass?", "Which organ is shown?")
    first, bad, last = (Generate(Prompt(noise_picture(4), (one,)), 4) for one in texts)
    for calls in ([first, bad, last], [bad, first, last]):
        results = dict(zip(calls, answer(model, calls), strict=True))
        assert f"the question holds {mark!r}" in results[bad].reason
        same([results[first], results[last]], answer(model, [first, last]))


@pytest.mark.parametrize("family", ["idefics3", *RECURRENT])
def test_greedy_text_and_likelihood_equal_generate_alone(family):
    ours = backend(family)
    (reply,) = answer(ours, [Generate(prompt(noise_picture(3)), 8)])
    inputs = ours.read(ours.show(prompt(noise_picture(3))), noise_picture(3))
    how = {"return_dict_in_generate": True, "output_logits": True}
    out = ours.model.generate(**inputs, max_new_tokens=8, do_sample=False, **how)
    tokens = out.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    n = next((i for i, token in enumerate(tokens) if token in ours.eos), len(tokens))
    steps = [torch.log_softmax(logits[0], -1) for logits in out.logits]
    expected = sum(float(steps[i][tokens[i]]) for i in range(n))
    text = ours.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert (reply.text, reply.new_tokens) == (text, n)
    assert reply.logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["idefics3", *RECURRENT])
def test_labels_equal_a_forward_pass_over_prompt_and_label(family):
    ours = backend(family)
    picture, labels = noise_picture(4), ("heart", "left", "left lung")
    (result,) = answer(ours, [Labels(prompt(picture), labels)])
    scores = []
    for label in labels:
        total = []
        for way in (label, label.capitalize()):
            # "left" begins "left lung", so that the end of the reply is scored with every label
            text = f"{ours.show(prompt(picture))}{way}{ours.tokenizer.eos_token}"
            ids = ours.read(text, picture)["input_ids"][0, -len(way.split()) - 1 :]
            if ours.tokenizer.unk_token_id in ids:
                continue
            with torch.inference_mode():
                logits = ours.model(**ours.read(text, picture)).logits[0].float()
            steps = torch.log_softmax(logits[-len(ids) - 1 : -1], -1)
            total.append(float(steps.gather(1, ids[:, None]).sum()))
        scores.append(np.logaddexp.reduce(total))
    expected = np.exp(scores - np.logaddexp.reduce(scores))
    assert [*result.probabilities.values()] == pytest.approx(expected, abs=1e-5)


def test_samples_belong_to_their_seed():
    calls = [
        Generate(prompt(noise_picture(5)), 6, seed="s", sample=i) for i in range(8)
    ]
    texts = [reply.text for reply in answer(backend(), calls)]
    again = [reply.text for reply in answer(backend(max_positions=100), calls[::-1])]
    assert texts == again[::-1]
    assert len(set(texts)) > 4
    cold = [Generate(c.prompt, 6, c.seed, c.sample, temperature=1e-4) for c in calls]
    greedy = answer(backend(), [Generate(calls[0].prompt, 6)])[0].text
    assert {reply.text for reply in answer(backend(), cold)} == {greedy}


def test_sampled_tokens_follow_the_model_distribution():
    n = 1500
    calls = [
        Generate(prompt(noise_picture(6)), 1, seed="s", sample=i) for i in range(n)
    ]
    replies = [reply for reply in answer(backend(), calls) if reply.new_tokens]
    counts = Counter((reply.text, round(reply.logprob, 5)) for reply in replies)
    assert len(counts) > 20
    for (_, logprob), hits in counts.items():
        expected = math.exp(logprob)
        spread = math.sqrt(expected * (1 - expected) / n)
        assert hits / n == pytest.approx(expected, abs=4.5 * spread + 1 / n)


def test_a_damaged_image_fails_alone():
    changes = ("", "darker", "blank")
    broken = [Picture("broken", b"no image", change) for change in changes]
    pictures = [*broken, noise_picture(8), noise_picture(8, "blank")]
    calls = [Generate(prompt(picture), 4) for picture in pictures]
    *bad, good, blank = answer(backend(), calls)
    assert all("no image" in failure.reason for failure in bad)
    same([good, blank], answer(backend(), calls[3:]))
    strip = Generate(prompt(noise_picture(1, size=(2, 900))), 4)
    bad, good = answer(backend("qwen2_5_vl"), [strip, calls[3]])
    assert "its image cannot be shown" in bad.reason
    assert good.new_tokens > 0


def test_changes_are_mild_and_blank_is_blank():
    plain = np.asarray(noise_picture(9).open(), dtype=float)
    for change in ("brighter", "darker", "cropped", "softer", "turned"):
        changed = np.asarray(noise_picture(9, change).open(), dtype=float)
        assert changed.shape == plain.shape
        assert 0 < np.abs(changed - plain).mean() < 90
    assert set(np.asarray(noise_picture(9, "blank").open()).ravel()) == {128}


@pytest.fixture
def saved(tmp_path):
    """A folder with a checkpoint."""
    return save_checkpoint(tmp_path / "checkpoint")


def without_vision(weights):
    return {name: w for name, w in weights.items() if "vision" not in name}


def short(weights):
    return {name: w[:-1] if "q_proj" in name else w for name, w in weights.items()}


def with_a_layer_more(weights):
    """As of a checkpoint whose config.json names fewer layers than it holds."""
    last = max(name for name in weights if ".layers." in name)
    return weights | {last.replace(".layers.", ".layers.9"): weights[last].clone()}


def with_what_is_computed(weights):
    return weights | {"model.text_model.rotary_emb.inv_freq": torch.ones(4)}


REFUSED = [
    (without_vision, "missing.*vision"),
    (short, "q_proj"),
    (with_a_layer_more, "1 weights have no place in the model"),
    (None, "not load"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_weights_are_whole_and_come_from_safetensors_alone(saved, change, says):
    assert resolve_model(str(saved), device="cpu").can
    path = saved / "model.safetensors"
    weights = load_file(path)
    path.unlink()
    if change:
        save_file(change(weights), path, metadata={"format": "pt"})
    else:  # a pickle in their place
        torch.save(weights, saved / "pytorch_model.bin")
    with pytest.raises(MedcalError, match=says):
        resolve_model(str(saved), device="cpu")


def test_tables_that_are_computed_are_no_fault_of_a_checkpoint(saved):
    path = saved / "model.safetensors"
    weights = with_what_is_computed(load_file(path))
    save_file(weights, path, metadata={"format": "pt"})
    assert resolve_model(str(saved), device="cpu").can


def test_a_path_s_letters_are_composed_in_a_model_s_name(saved, tmp_path):
    folder = tmp_path / "ju\u0308rgen"
    saved.rename(folder)
    assert resolve_model(str(folder), device="cpu").name.endswith("j\u00fcrgen")


def test_code_of_a_checkpoint_is_never_run(saved, tmp_path):
    """Neither by `auto_map` of its configurations nor as a kernel of its attention."""
    trace = tmp_path / "ran"
    (saved / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    kinds = "Config Model ModelForImageTextToText Processor ImageProcessor"
    mapped = {f"Auto{kind}": "evil.Evil" for kind in kinds.split()}
    mapped["AutoTokenizer"] = ["evil.Evil", "evil.Evil"]
    for path in saved.glob("*config.json"):
        config = json.loads(path.read_text()) | {"auto_map": mapped}
        path.write_text(json.dumps(config | {"attn_implementation": "some/kernel"}))
    model = resolve_model(str(saved), device="cpu")
    assert not trace.exists()
    assert model.model.config._attn_implementation == "sdpa"
    call = Generate(prompt(noise_picture(2)), 6)
    same(answer(model, [call]), answer(backend(), [call]))


def test_names_of_nothing_and_faults_of_the_hub_say_why(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for name, reach, says in (
        (str(tmp_path), {}, r"type bert are.* serve it .*the URL"),
        ("pocket-general", {"device": "cuda:99"}, "no such device on this machine"),
        ("./" + "x" * 300, {}, r"x does not load here"),
        ("http://a:99999999", {}, r"a:99999999/v1: InvalidUrl.*: start the server"),
    ):
        with pytest.raises(MedcalError, match=says):
            resolve_model(name, **reach)
    for error, advice in (
        (OSError("a gated repo.\nMake sure"), "repo. Make sure"),
        (ValueError("please pass `trust_remote_code=True`"), "never run here"),
    ):
        monkeypatch.setattr(local, "_load", Mock(side_effect=error))
        with pytest.raises(MedcalError, match=advice) as refused:
            resolve_model("owner/model", device="cpu")
        assert "\n" not in str(refused.value)
