"""Copies of executed notebooks without a machine's paths, as HTML too, and a page of links."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from medcal_nb.show.figures import FORMATS, read_manifest, replace_files

if TYPE_CHECKING:
    from medcal_nb.study.plan import Study

_STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.55 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; }
.answer { border-left: 4px solid #4B2067; padding-left: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; }
tr { border-bottom: 1px solid #8884; }
.figures { display: grid; gap: 1.5rem; }
.figures { grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
figure { margin: 0 0 2rem; }
figure img { max-width: 100%; background: #fff; border: 1px solid #8884; box-sizing: border-box; }
.findings img { width: 42rem; }
figcaption, footer { font-size: .85rem; }
"""

# the scripts that nbconvert's page would fetch from the network: require.js, MathJax, Mermaid
_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block extra_css -%}<style>
nav, details > summary { font: 14px system-ui, sans-serif; padding: .2em 0 0 5em; }
nav a { color: #0b57d0; text-decoration: underline; }
</style>{%- endblock -%}
{%- block body_header -%}{{ super() }}<nav><a href="index.html">All findings</a></nav>
{%- endblock -%}
{%- block input_group -%}<details><summary>Code</summary>{{ super() }}</details>{%- endblock -%}
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
    """Write ``index.html`` beside the HTML copies: what was found, every figure and notebook.

    On top stand the answer and the figures that notebook 00 shows. Figures and results are copied
    next to the page, so that the folder can be published as it is.
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
    figures = {name: _figure(name, entry, folder) for name, entry in sorted(entries.items())}
    read = [name for step in study.steps.values() for name in _shown_first(step)]
    first = [figures.pop(name) for name in dict.fromkeys(read) if name in figures]
    told = next((entry["provenance"] for entry in entries.values()), {})
    versions = ", ".join(f"{k} {v}" for k, v in told.get("versions", {}).items())
    profile = f"Profile {study.profile.name}{' (fast: small sizes)' * study.fast}"
    page = _PAGE.format(
        style=_STYLE,
        title=escape(_TITLE),
        profile=escape(f"{profile}: {study.profile.summary}. {told.get('source', '')}"),
        answer=_answer(layout.results / "00_overview.json"),
        findings=f"<h2>Findings</h2>{''.join(first)}" if first else "",
        rows="".join(_row(step, folder) for step in study.steps.values()),
        figures="".join(figures.values()),
        versions=escape(versions),
    )
    replace_files({folder / "index.html": page.encode()})


_TITLE = "Can I trust the confidence of a multimodal LLM on medical images?"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>
<body><main><h1>{title}</h1><p>{profile}</p>
{answer}
<div class="findings">{findings}</div>
<h2>Notebooks</h2>
<table><thead><tr><th>Notebook</th><th>Question</th><th>Numbers</th></tr></thead>
<tbody>{rows}</tbody></table>
<h2>More figures</h2><div class="figures">{figures}</div></main>
<footer><p>Research and teaching software, not a medical device. Text, figures and code: MIT
licence.</p><p>Made with {versions}.</p></footer></body></html>
"""


def _shown_first(step) -> list[str]:
    """Return the figures that a notebook shows and does not make: those of the overview."""
    made = {*step.notebook.writes}
    return [name for name in step.notebook.reads if name.startswith("fig") and name not in made]


def _answer(results: Path) -> str:
    """Return what the overview says, as HTML; nothing where it has not run."""
    if not results.is_file():
        return ""
    told = json.loads(results.read_text(encoding="utf-8"))["results"].get("answer", [])
    return f'<div class="answer">{_safe(chr(10).join(f"{line}{chr(10)}" for line in told))}</div>'


def _row(step, folder: Path) -> str:
    name = step.notebook.name
    prose = "\n".join(source for kind, source, _ in step.notebook.cells if kind == "markdown")
    found = re.search(r"\*\*Question[.:]?\*\*:?\s*(.+(?:\n.+)*)", prose)
    question = re.sub(r"[*`]", "", found.group(1)) if found else ""
    link = f'<a href="{name}.html">{name}</a>' if (folder / f"{name}.html").is_file() else name
    numbers = f"results/{name}.json"
    numbers = f'<a href="{numbers}">JSON</a>' if (folder / numbers).is_file() else ""
    return f"<tr><td>{link}</td><td>{escape(question)}</td><td>{numbers}</td></tr>"


def _figure(name: str, entry: dict, folder: Path) -> str:
    """Return a figure with its caption in words, its numbers and the way to its notebook."""
    links = [f'<a href="figures/{name}.{k}">{k.upper()}</a>' for k in FORMATS]
    notebook = entry["provenance"].get("notebook", "")
    if (folder / f"{notebook}.html").is_file():
        links.insert(0, f'<a href="{notebook}.html">notebook {notebook[:2]}</a>')
    caption, alt = (escape(entry.get(key) or name) for key in ("caption", "alt"))
    return (
        f'<figure id="{name}"><a href="figures/{name}.png"><img src="figures/{name}.png" '
        f'alt="{alt}" loading="lazy"></a>'
        f"<figcaption>{caption} {' · '.join(links)}</figcaption></figure>"
    )
