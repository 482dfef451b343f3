"""The item table: schema, loaders, images of every kind."""

import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medcal_nb.datasets import Item, iter_items, load_items, open_image
from medcal_nb.errors import MedcalError


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


RED = encoded(Image.new("RGB", (4, 3), (200, 10, 10)))


def table() -> pd.DataFrame:
    """Three items: a row each of closed, choice and open questions."""
    rows = [
        ("a/0", "a", "closed", "is it red?", ["yes", "no"], "yes", "fit"),
        ("a/1", "a", "choice", "which colour?", ["red", "blue", "green"], "red", "fit"),
        ("b/0", "b", "open", "what is it?", None, ["a wall", "wall"], "test"),
    ]
    names = ["item_id", "image_id", "question_type", "question"]
    names += ["options", "gold", "split"]
    frame = pd.DataFrame(rows, columns=names).assign(dataset="toy", domain="general")
    return frame.assign(modality="photo", image=[RED] * 3, site="here")


def test_rows_become_items():
    first, _, last = iter_items(table())
    assert first == Item.from_row(table().iloc[0].to_dict())
    assert first.options == ("yes", "no")
    assert first.extra == {"site": "here"}
    assert last.options is None
    assert last.gold == ("a wall", "wall")


class TestLoading:
    @pytest.mark.parametrize(
        ("name", "split", "says"),
        [
            ("pocket", None, "no data set 'pocket'.*; there are .*pocketvqa-general"),
            ("pocketvqa-general:/data", None, "no data set 'pocketvqa-general'"),
            ("pocketvqa-general", "dev", "no split 'dev'; there are fit, test"),
        ],
    )
    def test_faults(self, name, split, says):
        with pytest.raises(MedcalError, match=says):
            load_items(name, split=split)


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

    def test_transparency_is_laid_on_white_and_print_is_shown(self):
        clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
        keyed = encoded(Image.new("P", (2, 2), 0), transparency=0)
        one_bit = Image.new("1", (2, 2), 1)
        ink = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
        for data in (encoded(clear), keyed, encoded(one_bit), ink):
            assert open_image(data).getpixel((1, 1)) == (255, 255, 255)
        half = open_image(encoded(Image.new("LA", (2, 2), (0, 128))))
        assert half.getpixel((0, 0)) == pytest.approx((127,) * 3, abs=1)

    def test_refused_kinds_say_what_to_do(self, tmp_path):
        deep = Image.fromarray(np.full((3, 3), 4000, np.uint16))
        real = Image.fromarray(np.zeros((3, 3), np.float32))
        frames = [Image.new("L", (3, 3), k) for k in (0, 90, 200)]
        film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        dicom = b"\0" * 128 + b"DICM" + b"\0" * 40
        whole = encoded(frames[0], "TIFF")
        dual = whole[:128].ljust(128, b"\0") + b"DICM" + whole[132:]
        for data, says in (
            (encoded(deep), "several frames, or more than 8 bits.*the window you want"),
            (encoded(real, "TIFF"), "several frames, or more than 8 bits"),
            (film, "several frames, or more than 8 bits"),
            (dual, "(DICOM)"),
            (dicom, "(DICOM).* of DICOM the slice"),
            (b"", "no image"),
            (b"GIF, honestly", "no image, damaged.* save it as PNG or JPEG"),
        ):
            with pytest.raises(MedcalError, match=says):
                open_image(data)
        with pytest.raises(MedcalError, match=r"gone.png: is missing.*check its path"):
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

    @pytest.mark.parametrize("width", [0, 60_000])
    def test_no_pixels_and_a_bomb_are_not_opened(self, width):
        head = struct.pack(">IIBBBBB", width, 60_000, 8, 2, 0, 0, 0)
        crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
        with pytest.raises(MedcalError, match="damaged, or too large"):
            open_image(RED[:16] + head + crc + RED[33:])
