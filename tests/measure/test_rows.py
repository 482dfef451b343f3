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
