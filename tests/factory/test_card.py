"""The tables of a model's card."""

import pytest

from data.pocket.factory.card import card_tables, write_card


@pytest.mark.slow
def test_a_card_counts_its_questions():
    tables = card_tables("pocket-clip", 60)
    assert list(tables) == ["accuracy", "sites", "strategies"]
    assert set(tables["accuracy"].columns) == {"closed", "choice", "all", "not trivial"}
    told = tables["strategies"].set_index("domain")
    assert (told["n"] <= 60).all()
    assert ((told["confidence"] - told["accuracy"] - told["gap"]).abs() < 1e-9).all()
    page = write_card("pocket-clip", 60)
    assert page.startswith("### pocket-clip\n\n1.12 M parameters")
    assert f"| medical | clip_zero_shot | {told.at['medical', 'n']} |" in page
