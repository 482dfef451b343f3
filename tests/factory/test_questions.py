"""Questions: splits that share no image, fresh ones that are new."""

import pandas as pd
import pytest

from data.pocket.factory import questions as ask
from data.pocket.factory import scenes as world
from medcal_nb.datasets import ITEM_COLUMNS
from tests.item_schema import keeps_the_schema


@pytest.mark.parametrize(("name", "n_test"), [("general", 900), ("medical", 451)])
def test_splits_share_no_image_and_fresh_items_are_new(name, n_test):
    name = f"pocketvqa-{name}"
    fit, test = (ask.split_items(name, split) for split in ("fit", "test"))
    assert (len(fit), len(test)) == (1500, n_test)
    items = pd.concat([fit, test], ignore_index=True)
    assert list(items.columns[: len(ITEM_COLUMNS)]) == ITEM_COLUMNS
    keeps_the_schema(items)
    assert not set(fit["image"]) & set(test["image"])
    for modality in ask.DATASETS[name]:
        sites = items[items["modality"] == modality].groupby("split")["site"].unique()
        assert set(sites["fit"]) == set(world.TRAIN_SITES[modality])
        assert set(sites["test"]) == set(world.SITES[modality])
    for n in (1, 3, 60):
        few, again, other = (ask.fresh_items(name, n, seed=s) for s in (4, 4, 5))
        keeps_the_schema(few)
        pd.testing.assert_frame_equal(few, again)
        assert not set(few["image"]) & {*other["image"], *items["image"]}
        assert len(few) == n
        assert set(few["modality"]) == set(ask.DATASETS[name][: -(-n // 2)])
    with pytest.raises(ValueError, match="n = 0: give 1 or more"):
        ask.fresh_items(name, 0)
