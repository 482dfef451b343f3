"""HTML copies of executed notebooks, and a page that links notebooks, figures and tables."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.show.figures import FORMATS, read_manifest, replace_files

if TYPE_CHECKING:
    from medcal_nb.study.run import Layout, Study

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8884; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.figures { display: grid; gap: 1.5rem; }
.figures { grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure { margin: 0; }
figure img { width: 100%; background: #fff; border: 1px solid #8884; }
figcaption, footer, .told { font-size: .85rem; }
code { font-size: .9em; }
"""


# the scripts that nbconvert's page would fetch from the network: require.js, MathJax, Mermaid
_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def save_html(executed: Path, page: Path) -> None:
    """Write an executed notebook as one HTML file that needs no other and no network.

    Widgets stand still as the HTML they offer, and scripts that outputs brought along are left
    out. Formulas in LaTeX stay as they are written: typesetting them would take MathJax.
    """
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(executed, as_version=4)
    # papermill's timings would make every copy differ
    notebook.metadata.pop("papermill", None)
    _still(notebook)
    exporter = HTMLExporter(template_name="lab", embed_images=True, raw_template=_OFFLINE)
    body, _ = exporter.from_notebook_node(
        notebook, resources={"metadata": {"name": executed.stem, "path": str(executed.parent)}}
    )
    replace_files({page: body.encode()})


def _still(notebook) -> None:
    """Leave what stands still: a copy has no kernel, and widgets' scripts come from the network."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            if data.pop("application/javascript", None):
                # what is left is the name of the object that held the script
                data.pop("text/plain", None)
            if len(data) > 1:
                data.pop("application/vnd.jupyter.widget-view+json", None)
        cell.outputs = [o for o in cell.outputs if o.get("data", True)]


def save_index(study: Study) -> Path | None:
    """Write ``index.html`` beside the HTML copies: every notebook, figure and results file.

    Figures and results are copied next to it, so that the folder can be published as it is.

    Returns
    -------
    pathlib.Path or None
        The page; None where no notebook has been executed.
    """
    layout = study.layout
    folder = layout.work / "html"
    pages = sorted(folder.glob("[0-9][0-9]_*.html"))
    if not pages:
        return None
    entries = read_manifest(layout.figures)
    copies = _copies(layout, folder, sorted(entries))
    rows = "".join(_row(layout, page) for page in pages)
    figures = "".join(
        _figure(name, entries[name], copies[name]) for name in sorted(copies) if name in entries
    )
    told = next((entry["provenance"] for entry in entries.values()), {})
    versions = ", ".join(f"{k} {v}" for k, v in told.get("versions", {}).items())
    title = f"MedCal study, profile {study.profile.name}{' (fast)' if study.fast else ''}"
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>{html.escape(title)}</h1><p>{html.escape(study.profile.summary)}</p>
<h2>Notebooks</h2>
<table><thead><tr><th>Notebook</th><th>Question</th><th>Numbers</th><th>Seconds</th></tr></thead>
<tbody>{rows}</tbody></table>
<h2>Figures</h2><div class="figures">{figures}</div>
<footer><p>Answers <code>{html.escape(str(told.get("answers"))[:16])}</code>.
{html.escape(versions)}.</p></footer></body></html>
"""
    page = folder / "index.html"
    replace_files({page: text.encode()})
    return page


def _copies(layout: Layout, folder: Path, figures: list[str]) -> dict[str, list[str]]:
    """Copy published figures and results below the page and return links by figure."""
    contents: dict[Path, bytes] = {}
    links: dict[str, list[str]] = {}
    for name in figures:
        for kind in FORMATS:
            source = layout.figures / f"{name}.{kind}"
            if source.is_file():
                contents[folder / "figures" / source.name] = source.read_bytes()
                links.setdefault(name, []).append(f"figures/{source.name}")
    for source in sorted(layout.results.glob("*.json")):
        contents[folder / "results" / source.name] = source.read_bytes()
    for place in ("figures", "results"):
        (folder / place).mkdir(exist_ok=True)
    for old in (*(folder / "figures").iterdir(), *(folder / "results").iterdir()):
        if old not in contents:
            old.unlink()
    replace_files(contents)
    return links


def _row(layout: Layout, page: Path) -> str:
    name = page.stem
    question, seconds = name, ""
    executed = layout.work / "notebooks" / f"{name}.ipynb"
    try:
        cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        found = re.search(r"\*\*Question[.:]?\*\*:?\s*(.+(?:\n.+)*)", prose) or re.search(
            r"^#\s+(.+)$", prose, re.M
        )
        question = re.sub(r"[*`]", "", found.group(1)).strip() if found else name
        state = json.loads((layout.work / "state" / f"{name}.json").read_text(encoding="utf-8"))
        seconds = f"{state['seconds']:.1f}"
    except (OSError, ValueError, KeyError):
        pass
    numbers = f"results/{name}.json"
    link = f'<a href="{numbers}">JSON</a>' if (page.parent / numbers).is_file() else ""
    return (
        f'<tr><td><a href="{page.name}">{name}</a></td><td>{html.escape(question)}</td>'
        f'<td>{link}</td><td class="n">{seconds}</td></tr>'
    )


def _figure(name: str, entry: dict, links: list[str]) -> str:
    picture = next((link for link in links if link.endswith(".png")), links[0])
    kinds = " · ".join(
        f'<a href="{link}">{os.path.splitext(link)[1][1:].upper()}</a>' for link in links
    )
    notebook = html.escape(str(entry["provenance"].get("notebook", "")))
    return (
        f'<figure><a href="{picture}"><img src="{picture}" alt="{name}" loading="lazy"></a>'
        f'<figcaption><b>{name}</b> of <a href="{notebook}.html">{notebook}</a>, '
        f"{entry['rows']} rows: {kinds}</figcaption></figure>"
    )
