"""Files of other tools that unpack to more than they say, or reach further than they hold."""

import io
import json
import struct
import time
import tracemalloc
import zipfile

import openpyxl
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.logs.source import Source

SIZE = 200_000_000  # of a member that packs to 200 kB


def lying_zip(declared):
    """An Inspect log whose header says that it is small, and unpacks to 200 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"x" * SIZE)
    content = bytearray(buffer.getvalue())
    size = struct.pack("<I", SIZE)
    at = content.find(size)
    while at >= 0:  # in the local header and in the directory
        content[at : at + 4] = struct.pack("<I", declared)
        at = content.find(size)
    return bytes(content)


def test_a_zip_that_lies_on_its_sizes_is_read_no_further_than_it_says(tmp_path):
    path = tmp_path / "lie.eval"
    path.write_bytes(lying_zip(declared=1_000))
    source = Source(path)
    tracemalloc.start()
    with pytest.raises(MedcalError, match=r"lie\.eval"), source.as_user_error():
        source.value  # noqa: B018
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50e6


def test_a_zip_that_tells_the_truth_is_read(tmp_path):
    path = tmp_path / "true.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"eval": {}, "plan": {}}))
    assert Source(path).value["eval"] == {}


def test_a_sheet_with_cells_far_out_to_the_right_is_refused_at_once(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["index", "answer", "prediction"])
    for row in range(2, 4_002):
        sheet.cell(row=row, column=16_384, value=1)  # XFD, the last one there is
    path = tmp_path / "far.xlsx"
    book.save(path)
    source = Source(path)
    started = time.process_time()
    with pytest.raises(MedcalError, match=r"far\.xlsx"), source.as_user_error():
        list(source.rows())
    assert time.process_time() - started < 20
