"""Copies of executed notebooks without a machine's paths, as HTML too, and a page of links."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.show.figures import FORMATS, read_manifest, replace_files

if TYPE_CHECKING:
    from medcal_nb.study.plan import Study

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8884; }
.figures { display: grid; gap: 1.5rem; }
.figures { grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure { margin: 0; }
figure img { width: 100%; background: #fff; border: 1px solid #8884; }
figcaption, footer { font-size: .85rem; }
"""

# the scripts that nbconvert's page would fetch from the network: require.js, MathJax, Mermaid
_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_TAGS = "p h1 h2 h3 h4 h5 h6 hr br pre div span del table thead tbody tr th td sup sub"


def save_copies(executed: Path, page: Path, *, seconds: float) -> None:
    """Finish an executed notebook, and write it as one HTML file that needs no network.

    The header tells how long the run took; where files lay is left out. In the HTML widgets
    stand still as the HTML they offer, scripts that outputs brought along are left out, and
    Markdown that was computed holds no HTML but that of Markdown: it may name models and data
    sets. Formulas in LaTeX stay as they are written: typesetting them would take MathJax.
    """
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = re.sub(r"(?m)^(ANSWERS|OUT_DIR) = .*$", r'\1 = ""', cell.source)
    took = f"**Runtime** {seconds:.0f} s in the run that made this copy."
    head = notebook.cells[0]
    head.source = re.sub(r"\*\*Runtime\*\*[^.]*\.", took, head.source)
    replace_files({executed: nbformat.writes(notebook).encode()})
    _still(notebook)
    exporter = HTMLExporter(template_name="lab", embed_images=True, raw_template=_OFFLINE)
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": executed.stem}})
    replace_files({page: body.encode()})


def _still(notebook) -> None:
    """Leave what stands still and is safe: a copy has no kernel, and no trust."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop("application/javascript", None):
                data.pop("text/plain", None)  # the name of the object that held the script
            if len(data) > 1:
                data.pop(_WIDGET, None)
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                told = f'alt="{escape(alt)}" width="{output.metadata["image/png"]["width"]}"'
                data["text/html"] = f'<img src="data:image/png;base64,{data["image/png"]}" {told}>'
                del data["image/png"]
            if "text/markdown" in data:
                data["text/html"] = _safe(data.pop("text/markdown"))
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.get("data", True)]


def _safe(markdown: str) -> str:
    import bleach
    from nbconvert.filters import markdown2html

    return bleach.clean(markdown2html(markdown), tags=bleach.ALLOWED_TAGS | {*_TAGS.split()})


def save_index(study: Study) -> None:
    """Write ``index.html`` beside the HTML copies: every notebook, figure and results file.

    Figures and results are copied next to it, so that the folder can be published as it is.
    """
    layout, folder = study.layout, study.layout.work / "html"
    entries = read_manifest(layout.figures)
    files = {
        f"figures/{name}.{kind}": layout.figures / f"{name}.{kind}"
        for name in entries
        for kind in FORMATS
    } | {f"results/{path.name}": path for path in sorted(layout.results.glob("*.json"))}
    for place in ("figures", "results"):
        (folder / place).mkdir(exist_ok=True)
        for old in (folder / place).iterdir():
            old.unlink()
    replace_files({folder / name: file.read_bytes() for name, file in files.items()})
    title = f"MedCal study, profile {study.profile.name}{' (fast)' * study.fast}"
    rows = [_row(step, folder) for step in study.steps.values()]
    shows = {
        k: v for s in study.steps.values() for k, v in s.notebook.declared.get("shows", {}).items()
    }
    figures = [_figure(name, shows.get(name, name)) for name in sorted(entries)]
    told = next((entry["provenance"] for entry in entries.values()), {})
    versions = ", ".join(f"{k} {v}" for k, v in told.get("versions", {}).items())
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1><p>{escape(study.profile.summary)}</p>
<table><thead><tr><th>Notebook</th><th>Question</th><th>Numbers</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>
<h2>Figures</h2><div class="figures">{"".join(figures)}</div>
<footer><p>{escape(versions)}.</p></footer></body></html>
"""
    replace_files({folder / "index.html": text.encode()})


def _row(step, folder: Path) -> str:
    name = step.notebook.name
    prose = "\n".join(source for kind, source, _ in step.notebook.cells if kind == "markdown")
    found = re.search(r"\*\*Question[.:]?\*\*:?\s*(.+(?:\n.+)*)", prose)
    question = re.sub(r"[*`]", "", found.group(1)) if found else ""
    link = f'<a href="{name}.html">{name}</a>' if (folder / f"{name}.html").is_file() else name
    numbers = f"results/{name}.json"
    numbers = f'<a href="{numbers}">JSON</a>' if (folder / numbers).is_file() else ""
    return f"<tr><td>{link}</td><td>{escape(question)}</td><td>{numbers}</td></tr>"


def _figure(name: str, shows: str) -> str:
    links = " · ".join(f'<a href="figures/{name}.{k}">{k.upper()}</a>' for k in FORMATS)
    return (
        f'<figure><a href="figures/{name}.png"><img src="figures/{name}.png" '
        f'alt="{escape(shows)}" loading="lazy"></a>'
        f"<figcaption>{escape(shows)}: {name} as {links}</figcaption></figure>"
    )
