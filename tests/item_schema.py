"""What every item table keeps, whoever makes it."""

from medcal_nb.datasets import ITEM_COLUMNS


def keeps_the_schema(items) -> None:
    """Assert that columns, ids, words, options, answers, splits and images are as promised."""
    assert set(ITEM_COLUMNS) <= set(items.columns)
    assert items["item_id"].is_unique
    assert (items.groupby("image_id")["split"].nunique() == 1).all()
    assert set(items["domain"]) <= {"general", "medical"}
    assert set(items["split"]) <= {"fit", "test"}
    for name in ("item_id", "image_id", "dataset", "modality", "question"):
        assert all(isinstance(text, str) and text.strip() for text in items[name]), name
    for row in items.to_dict("records"):
        golds = [row["gold"]] if isinstance(row["gold"], str) else list(row["gold"])
        assert golds
        assert all(isinstance(gold, str) and gold.strip() for gold in golds), row
        if row["question_type"] == "open":
            assert row["options"] is None, row
        else:
            assert row["question_type"] in ("closed", "choice"), row
            assert len(set(row["options"])) == len(row["options"]) > 1, row
            assert set(golds) & set(row["options"]), row
        assert row["image"], row
