"""`python -m tests.readme_parts` writes what README.md and .env.example take from the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from config import PREFIX, ROOT, Settings
from utils.settings_reference import describe_settings

README = ROOT / "README.md"
EXAMPLE = ROOT / ".env.example"
MAPPED = ("app.py", "config.py", "pages", "api", "utils", "benchmarks")


def with_parts(text: str) -> str:
    """Return the README with its generated parts as they should be."""
    for name, part in (("settings", settings_table()), ("map", module_map())):
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = between.sub(lambda found, part=part: f"{found[1]}{part}{found[2]}", text)
    return text


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    rows = ["| Variable | Default | Allowed | Meaning |", "| --- | --- | --- | --- |"]
    for setting in describe_settings(Settings, PREFIX):
        default = f"`{setting.default}`" if setting.default else "empty"
        cells = (f"`{setting.variable}`", default, setting.allowed, setting.meaning)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def module_map() -> str:
    """Return one line a module: where it is, and the first line of its docstring."""
    modules = [path for name in MAPPED for path in _modules(ROOT / name)]
    names = [path.relative_to(ROOT).as_posix() for path in modules]
    width = max(map(len, names))
    lines = [
        f"{name.ljust(width)}  {_first_line(path)}"
        for name, path in zip(names, modules, strict=True)
    ]
    return "\n".join(["```text", *lines, "```\n"])


def example_file() -> str:
    """Return the settings as a `.env` file in which nothing is set yet."""
    lines = ["# Copy to .env and remove the # before what you want to change."]
    for setting in describe_settings(Settings, PREFIX):
        lines += ["", f"# {setting.meaning} Allowed: {setting.allowed}."]
        lines += [f"# {setting.variable}={setting.default}"]
    return "\n".join(lines) + "\n"


def _modules(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = (path for path in place.rglob("*.py") if path.name != "__init__.py")
    return sorted(found, key=lambda path: (len(path.parts), path))


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


if __name__ == "__main__":
    README.write_text(with_parts(README.read_text(encoding="utf-8")), encoding="utf-8")
    EXAMPLE.write_text(example_file(), encoding="utf-8")
