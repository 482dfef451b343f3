"""What a dry run says is what a run sends."""

from typer.testing import CliRunner

from medcal_nb.ask.backends.served import ServedModel
from medcal_nb.ask.estimate import estimate
from medcal_nb.ask.run import ask
from medcal_nb.cli import app
from tests.ask.tiny import tiny_items
from tests.ask.told import Told

FEW = {"samples": 3}


def test_as_many_requests_are_counted_as_are_sent(log):
    """Of methods that share a call, equal questions about an image, and samples."""
    items = tiny_items(9)
    methods = "verbalized,two_stage,self_consistency,semantic_entropy,augment"
    for many in (False, True):
        with Told(many=many) as told:
            model = ServedModel(told.url, served_as=f"many {many}")
            told.requests.clear()
            ask(model, items, methods, log=log, **FEW)
            n = len(told.requests)
        about = estimate(items, methods, tokens_an_image=10, **FEW)
        assert n == (about.at_once if many else about.requests)
    assert about.image_tokens == 10 * about.at_once
    assert (about.questions, about.images) == (9, 5)


def test_a_price_is_that_of_tokens_sent_and_written():
    about = estimate(
        tiny_items(2), "verbalized", tokens_an_image=500, max_new_tokens=40
    )
    assert about.most_new_tokens == 40 * about.requests
    sent = about.text_tokens + about.image_tokens
    assert about.price(2.0, 10.0) == (2 * sent + 10 * about.most_new_tokens) / 1e6


def test_a_dry_run_asks_nobody():
    words = (
        "ask --dataset pocketvqa-medical --split test --n 8 --methods verbalized,p_true"
    )
    ran = CliRunner().invoke(app, [*words.split(), "--dry-run", "--price", "2.5", "10"])
    assert ran.exit_code == 0, ran.output
    assert "8 questions about" in ran.output
    assert "price: about 0." in ran.output
