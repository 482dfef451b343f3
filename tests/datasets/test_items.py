"""The item table: schema, loaders, images of every kind, and the command that shows them."""

import io
import struct
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from medcal_nb.datasets import Item, iter_items, load_items, open_image
from medcal_nb.datasets import loading as room
from medcal_nb.errors import MedcalError


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


POCKET = next(
    n for n in room.dataset_names() if n.startswith("pocket") and "medical" in n
)
RED = encoded(Image.new("RGB", (4, 3), (200, 10, 10)))


def table(**changes) -> pd.DataFrame:
    """Three good items; ``column=(row, value)`` spoils one cell."""
    rows = [
        ("a/0", "a", "closed", "is it red?", ["yes", "no"], "yes"),
        ("a/1", "a", "choice", "which colour?", ["red", "blue", "green"], "red"),
        ("b/0", "b", "open", "what is it?", None, ["a wall", "wall"]),
    ]
    frame = pd.DataFrame(
        [
            {
                "item_id": i,
                "image_id": g,
                "dataset": "toy",
                "domain": "general",
                "modality": "photo",
                "question_type": t,
                "question": q,
                "options": o,
                "gold": gold,
                "split": "fit" if g == "a" else "test",
                "image": RED,
                "site": "here",
            }
            for i, g, t, q, o, gold in rows
        ]
    )
    for column, (row, value) in changes.items():
        frame[column] = frame[column].astype(object)
        frame.at[row, column] = value
    return frame


def test_rows_become_items():
    first, _, last = iter_items(table())
    assert first == Item.from_row(table().iloc[0].to_dict())
    assert first.options == ("yes", "no")
    assert first.extra == {"site": "here"}
    assert last.options is None
    assert last.gold == ("a wall", "wall")


def test_rows_survive_parquet(tmp_path):
    frame = table()
    frame["gold"] = [["yes"], ["red"], ["a wall", "wall"]]
    frame.to_parquet(tmp_path / "items.parquet")
    back = pd.read_parquet(tmp_path / "items.parquet")
    assert list(iter_items(back)) == list(iter_items(frame))


class TestLoading:
    def test_pocket_items_load_by_name(self):
        items = load_items("pocketvqa-medical", split="test")
        assert len(items) == 451
        assert open_image(items["image"].iloc[0]).size == (64, 64)

    @pytest.mark.parametrize(
        ("kwargs", "says"),
        [
            (
                {"name": "pocket"},
                "dataset 'pocket' is not known; known: .*pocketvqa-general",
            ),
            ({"name": "pocketvqa-general:/data"}, "dataset .* is not known"),
            ({"name": "pocketvqa-general", "split": "dev"}, "split 'dev' is not known"),
        ],
    )
    def test_faults(self, kwargs, says):
        with pytest.raises(MedcalError, match=says):
            load_items(**kwargs)


class TestOpenImage:
    def test_plain_kinds_come_out_as_rgb(self, tmp_path):
        grey = Image.new("L", (5, 4), 77)
        palette = Image.new("RGB", (5, 4), (10, 200, 30)).convert("P")
        for image, colour in ((grey, (77,) * 3), (palette, (10, 200, 30))):
            opened = open_image(encoded(image))
            assert opened.mode == "RGB"
            np.testing.assert_allclose(opened.getpixel((2, 2)), colour, atol=25)
        path = tmp_path / "grey.png"
        grey.save(path)
        assert open_image(path).getpixel((0, 0)) == (77, 77, 77)
        assert open_image(str(path)).size == (5, 4)

    def test_transparency_is_laid_on_white(self):
        clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
        assert open_image(encoded(clear)).getpixel((0, 0)) == (255, 255, 255)
        half = Image.new("LA", (2, 2), (0, 128))
        assert open_image(encoded(half)).getpixel((0, 0)) == pytest.approx(
            (127,) * 3, abs=1
        )
        keyed = Image.new("P", (2, 2), 0)
        assert open_image(encoded(keyed, transparency=0)).getpixel((1, 1)) == (
            255,
            255,
            255,
        )

    def test_one_bit_and_cmyk(self):
        assert (
            open_image(encoded(Image.new("1", (3, 3), 1))).getpixel((1, 1))
            == (255,) * 3
        )
        print_ = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
        assert open_image(print_).getpixel((4, 4)) == (255,) * 3

    def test_the_camera_was_turned(self):
        image = Image.new("RGB", (6, 2), (9, 9, 9))
        exif = image.getexif()
        exif[274] = 6
        assert open_image(encoded(image, "JPEG", exif=exif)).size == (2, 6)

    def test_refused_kinds_say_what_to_do(self, tmp_path):
        deep = Image.fromarray(np.full((3, 3), 4000, np.uint16))
        frames = [Image.new("L", (3, 3), k) for k in (0, 90, 200)]
        film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        dicom = b"\0" * 128 + b"DICM" + b"\0" * 40
        dual = (
            (whole := encoded(frames[0], "TIFF"))[:128].ljust(128, b"\0")
            + b"DICM"
            + whole[132:]
        )
        for data, says in (
            (
                encoded(deep),
                "1 frame.s. of mode I;16; one of 8 bits .* in the window you want",
            ),
            (
                encoded(Image.fromarray(np.zeros((3, 3), np.float32)), "TIFF"),
                "mode F; one",
            ),
            (film, "has 3 frame.s. of mode P; .*: save the one that is meant"),
            (dual, "a slice of DICOM"),
            (dicom, "a slice of DICOM with 8 bits a channel in the window you want"),
            (b"", "is no image that can be read"),
            (b"GIF, honestly", "is no image that can be read; save it as PNG or JPEG"),
        ):
            with pytest.raises(MedcalError, match=says):
                open_image(data)
        with pytest.raises(MedcalError, match=r"gone.png: No such.*image path"):
            open_image(tmp_path / "gone.png")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
    def test_a_file_cut_anywhere_opens_or_is_called_damaged(self, kind, rng):
        noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        whole = encoded(noise, kind)
        refused = 0
        for length in range(0, len(whole) - 1, max(1, len(whole) // 40)):
            try:
                open_image(whole[:length])
            except MedcalError:
                refused += 1
        assert refused > 30

    def test_a_flipped_bit_in_the_data_is_called_damaged(self):
        data = bytearray(RED)
        data[data.index(b"IDAT") + 8] ^= 0xFF
        with pytest.raises(MedcalError, match=r"damaged|no image"):
            open_image(bytes(data))

    def test_an_image_without_pixels_is_refused(self):
        import zlib

        head = struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)
        png = RED[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + RED[33:]
        with pytest.raises(MedcalError):
            open_image(png)

    def test_a_bomb_is_not_opened(self):
        import zlib

        head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        png = RED[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + RED[33:]
        with pytest.raises(MedcalError, match="too large to open safely"):
            open_image(png)


class TestCommand:
    """``medcal items``."""

    def run(self, *args):
        from medcal_nb.cli import app

        return CliRunner().invoke(app, ["items", "--dataset", POCKET, *args])

    def test_a_table_and_a_sheet_of_images(self, tmp_path):
        path = tmp_path / "sheet.png"
        done = self.run("--split", "test", "--n", "7", "--sheet", str(path))
        assert done.exit_code == 0, done.output
        assert "7 items, " in done.output
        asked = load_items(POCKET, split="test", n=7)  # by `medcal ask --n 7`
        assert [line.split()[0] for line in done.output.splitlines()[1:8]] == list(
            asked["item_id"]
        )
        sheet = Image.open(path)
        assert sheet.width > 900
        assert len(np.unique(np.asarray(sheet))) > 100

    def test_the_sheet_has_a_picture_for_every_letter(self, tmp_path):
        """Of a letter that the font lacks it would warn; a $ is no formula."""
        from medcal_nb.show.charts import image_sheet

        frame = table(question=(0, "is it red → né Ω ≥ 3 µm for $1 or $2?"))
        frame = frame.assign(
            gold="a wall | wall", picture=frame["image"].map(open_image)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = image_sheet(frame, title="toy …")
            drawn.savefig(tmp_path / "sheet.png")
        words = "\n".join(text.get_text() for ax in drawn.axes for text in ax.texts)
        assert "is it red → né Ω ≥ 3 µm for $1 or $2? a wall | wall" in words

    def test_without_a_name_the_names_are_listed(self):
        from medcal_nb.cli import app

        done = CliRunner().invoke(app, ["items"])
        assert done.output.split() == room.dataset_names()

    @pytest.mark.parametrize(
        ("args", "says"),
        [
            (("--n", "2", "--sheet", "sheet.jpg"), "name that ends with .png"),
            (("--n", "2", "--sheet", "no/where/s.png"), "no folder no/where"),
            (("--dataset", "pocket"), "dataset 'pocket' is not known"),
        ],
    )
    def test_faults(self, args, says):
        done = self.run(*args)
        assert isinstance(done.exception, MedcalError)
        assert says in str(done.exception)

    def test_no_items_is_wrong_use(self):
        assert self.run("--n", "0").exit_code == 2
