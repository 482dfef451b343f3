"""Rows chosen, halved and grouped."""

import pandas as pd
import pytest

from medcal_nb.measure import rows


@pytest.mark.parametrize(
    "ids", [[7, 8], [7.0, 8.0], ["7", "8"], ["7.0", "8.00"], [7, None], [7, "8"]]
)
def test_an_image_is_one_whatever_the_type_of_its_id(ids):
    frame = pd.DataFrame({"item_id": [5, 8], "image_id": ids, "dataset": "d"})
    assert rows.image_labels(frame).tolist() == ["d/7", "d/8"]
    assert [*rows.plain_ids(["a.0", "007", "-3.0", 1.5])] == ["a.0", "007", "-3", "1.5"]


@pytest.mark.parametrize("ids", [[7, 3, 7], ["b", "a", "b"], [2**63, 5, 2**63]])
def test_codes_of_images_are_in_the_order_of_their_labels(ids):
    frame = pd.DataFrame({"item_id": ["1", "2", "3"], "image_id": ids})
    codes, labels = rows.image_codes(frame, "image_id")
    assert labels[codes].tolist() == rows.image_labels(frame).tolist()
    assert codes[0] == codes[2] > codes[1]
    codes, _ = rows.image_codes(frame.assign(dataset=["d", "e", "e"]), "image_id")
    assert len(set(codes)) == 3
