"""Zip and Excel files, read in bounded time and memory."""

import re
import zipfile
from collections.abc import Iterator

from medcal_nb.answers.files import check_names
from medcal_nb.errors import MedcalError

MOST_BYTES = 2 << 30
"""The most that a packed file may unpack to."""

_LAST_ROW = 1_048_576
_ROW_NUMBER = re.compile(rb'<(?:\w+:)?row\b[^>]{0,500}?\br="(\d{7,})"')


def open_zip(path) -> zipfile.ZipFile:
    """A zip file that does not unpack to a hundred times its size."""
    archive = zipfile.ZipFile(path)
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES or size > 100 * path.stat().st_size + (1 << 20):
        raise MedcalError(
            f"{path}: unpacks to {size:,} bytes, far more than such files do; not read, for safety"
        )
    return archive


def read_sheet(path) -> Iterator[dict]:
    """Rows of the first sheet of an Excel file, by the names in its first line."""
    import openpyxl

    try:
        _refuse_bombs(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = next(rows, ())
        names = [str(n) if n is not None else f"column {k}" for k, n in enumerate(header)]
        check_names(names, path)
        for values in rows:
            if any(v is not None for v in values):
                yield dict(zip(names, values, strict=False))
    except MedcalError:
        raise
    except Exception as err:  # openpyxl lets zip, XML and key errors of damaged books through
        raise MedcalError(
            f"{path}: not an Excel sheet, cut off or damaged ({type(err).__name__}); fetch it anew"
        ) from err


def _refuse_bombs(path):
    with open_zip(path) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/"):
                continue
            with archive.open(name) as sheet:
                tail = b""
                while block := sheet.read(1 << 20):
                    for found in _ROW_NUMBER.finditer(tail + block):
                        if int(found[1][:9]) > _LAST_ROW:
                            said = found[1][:20].decode()
                            raise MedcalError(
                                f"{path}: a row with the number {said}; sheets end at row "
                                f"{_LAST_ROW:,}: save it anew, or as CSV"
                            )
                    tail = (tail + block)[-600:]
