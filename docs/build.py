"""Build the documentation site with zensical: plain static files that need no network.

    python docs/build.py site      build into the folder site/
    python docs/build.py --check   build, report what is wrong, and keep nothing

The pages are written for GitHub. A copy of them is changed where a site differs: a link that leaves the documentation
becomes plain text, or a link into ``DOCS_SOURCE_URL`` (such as https://git.example/telecine/blob/main/) if that is set;
drawings are put into the page, so that they follow its colours; a block of code keeps only its language.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
#: Pages of the site that are elsewhere in the repository.
ELSEWHERE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "deploying-runpod.md": "ops/runpod/README.md",
}
#: Pages that are reached from the index of their folder, and not from the navigation.
BY_AN_INDEX = "decisions/0"

_FENCE = re.compile(r"^```([\w+-]*)[^\n]*\n.*?^```$", re.MULTILINE | re.DOTALL)
_DRAWING = re.compile(r"^!\[([^\]]*)\]\(([^)\s]+\.svg)\)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def sources() -> dict[str, Path]:
    """Return each file of the site, named by its path there."""
    files = (path for path in DOCS.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    found = {str(path.relative_to(DOCS)).replace("README.md", "index.md"): path for path in files}
    return found | {name: ROOT / path for name, path in ELSEWHERE.items()}


def stage(folder: Path) -> None:
    """Write what zensical reads into a folder: its settings, and ``docs`` with all pages."""
    shutil.copy(ROOT / "zensical.toml", folder)
    files = sources()
    names = {path: name for name, path in files.items()}
    for name, path in files.items():
        target = folder / "docs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(_for_the_site(path, name, names), encoding="utf-8")
        else:
            shutil.copy(path, target)


def _for_the_site(path: Path, name: str, names: dict[Path, str]) -> str:
    """Return the text of a page as zensical reads it."""
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"\0{len(kept) - 1}\0"

    text = path.read_text(encoding="utf-8")
    text = _FENCE.sub(lambda found: keep(re.sub(r"^```[^\n]*", f"```{found[1]}", found[0], count=1)), text)
    text = _DRAWING.sub(lambda found: keep(_drawing(path.parent / found[2]) or found[0]), text)
    text = _LINK.sub(lambda found: _link(found[1], found[2], path, name, names), text)
    text = "".join(_lists_of_python_markdown(text.splitlines(keepends=True)))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], text)


def _lists_of_python_markdown(lines: list[str]) -> Iterator[str]:
    """Yield the lines with lists as Python-Markdown needs them.

    What belongs to an item is indented by four spaces; an item follows a paragraph of the item before it after an empty
    line.
    """
    indent, paragraphs = 0, False
    for line in lines:
        if marker := re.match(r"(?:-|\d+\.) +", line):
            if paragraphs:
                yield "\n"
            indent, paragraphs = len(marker[0]), False
        elif line.strip() and not line.startswith(" " * indent):
            indent, paragraphs = 0, False
        elif indent:
            paragraphs = paragraphs or not line.strip()
            line = " " * 4 + line[indent:] if line.strip() else line
        yield line


def _drawing(path: Path) -> str:
    """Return a drawing of drawings.py as HTML without empty lines, which would end it; otherwise nothing."""
    svg = re.sub(r"\n\s*", " ", path.read_text(encoding="utf-8")).strip()
    return f'<figure class="drawing-frame">{svg}</figure>' if svg.startswith('<svg class="drawing"') else ""


def _link(text: str, target: str, path: Path, name: str, names: dict[Path, str]) -> str:
    """Return a link as the site has it."""
    if re.match(r"[a-z]+:|#", target):
        return f"[{text}]({target})"
    file, _, anchor = target.partition("#")
    meant = (path.parent / file).resolve()
    if (meant / "README.md") in names:
        meant /= "README.md"
    if meant in names:
        relative = os.path.relpath(names[meant], Path(name).parent)
        return f"[{text}]({relative}{'#' * bool(anchor)}{anchor})"
    if source := os.environ.get("DOCS_SOURCE_URL"):
        return f"[{text}]({source.rstrip('/')}/{meant.relative_to(ROOT)})"
    return text


def missing_from_navigation() -> list[str]:
    """Return the pages that the navigation does not name."""
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    named = set(_named(settings["project"]["nav"]))
    pages = (name for name in sources() if name.endswith(".md") and not name.startswith(BY_AN_INDEX))
    return sorted(name for name in pages if name not in named)


def _named(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        yield from _named(list(entry.values()))
    elif isinstance(entry, list):
        for child in entry:
            yield from _named(child)


def problems(site: Path) -> list[str]:
    """Return the links in the built pages that lead nowhere, and what a page would load from another server."""
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    anchors = {path: set(re.findall(r'\sid="([^"]+)"', text)) for path, text in texts.items()}
    found = []
    for path, text in texts.items():
        where = path.relative_to(site)
        loaded = re.findall(r'<(?:script|img|iframe|source|video)\b[^>]*\ssrc="([^"]*)"', text)
        loaded += re.findall(r'<link\b(?![^>]*rel="?(?:canonical|prev|next))[^>]*\shref="([^"]*)"', text)
        found += [f"{where} loads {url}" for url in loaded if re.match(r"(https?:)?//", url)]
        links = set(re.findall(r'\shref="([^"]*)"', text)) | {url for url in loaded if url}
        found += [f"{where} links to {url}" for url in sorted(links) if not _leads(path, url, site, anchors)]
    styles = ((path, path.read_text(encoding="utf-8")) for path in site.rglob("*.css"))
    return found + [
        f"{path.relative_to(site)} loads {url}"
        for path, text in styles
        for url in re.findall(r"""(?:url\(|@import )["']?((?:https?:)?//[^"')]+)""", text)
    ]


def _leads(page: Path, url: str, site: Path, anchors: dict[Path, set[str]]) -> bool:
    if re.match(r"[a-z]+:|//|\.?$", url) or page.name == "404.html":
        return True
    file, _, anchor = url.partition("#")
    path = (page.parent / file).resolve() if file else page
    if path.is_dir():
        path /= "index.html"
    return path.exists() and path.is_relative_to(site) and (not anchor or anchor in anchors.get(path, set()))


def build(folder: Path) -> list[str]:
    """Build the site in an empty folder, as its subfolder ``site``; return what is wrong with it."""
    stage(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    wrong = [f"{name} is not in the navigation: add it to zensical.toml" for name in missing_from_navigation()]
    if done.returncode:
        return [*wrong, re.sub(r"\x1b\[[0-9;]*m", "", f"{done.stdout}{done.stderr}").partition("Traceback")[0].strip()]
    return wrong + problems((folder / "site").resolve())


def main(arguments: list[str]) -> int:
    """Build the site into the named folder, or only check it; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="telecine-docs-") as name:
        wrong = build(Path(name))
        for line in wrong:
            print(line, file=sys.stderr)
        if not wrong and arguments != ["--check"]:
            target = Path(arguments[0])
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(name) / "site", target)
            print(f"{target}/index.html; to look at it: python -m http.server --directory {target}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
