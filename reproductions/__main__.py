"""All reproductions together: the README's tables, and whether a new run says what the committed one says.

python -m reproductions table            write the tables into README.md from figures/*.json
python -m reproductions table --check    change nothing; exit status 1 if README.md is stale
python -m reproductions rerun            run every script at its default preset in a temporary folder; exit
                                         status 1 if one fails, or a claim has another verdict than the committed one
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokjax.experiment import read_json

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tables: python -m reproductions table -->", "<!-- end of tables -->"
VERDICTS = {True: "holds", False: "**fails**", None: "not applicable"}

Written = Mapping[str, Any]


def scripts(root: Path) -> list[Path]:
    """Every reproduction, by name."""
    return [path for path in sorted((root / "reproductions").glob("*.py")) if not path.name.startswith("_")]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run a command; the exit status is 1 if a check fails."""
    parser = argparse.ArgumentParser(
        prog="python -m reproductions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table", help="write the tables into README.md")
    table.add_argument("--check", action="store_true", help="only say whether README.md is stale")
    commands.add_parser("rerun", help="run every script and compare verdicts with the committed ones")
    chosen = parser.parse_args(arguments)
    return rerun(root) if chosen.command == "rerun" else write_tables(root, chosen.check)


def write_tables(root: Path, check: bool) -> int:
    """Put the tables between their marks in README.md, or, for a check, only compare."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        print(f"README.md must hold the lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    fresh = f"{before}{BEGIN}\n\n{tables(root)}\n{END}{after}"
    if not check:
        readme.write_text(fresh, encoding="utf-8")
    elif fresh != text:
        print("README.md is stale; python -m reproductions table mends it", file=sys.stderr)
        return 1
    return 0


def tables(root: Path) -> str:
    """One row a script, and below it the claims of each."""
    rows = ["| script | reproduces | identities | findings |", "|---|---|---|---|"]
    details = []
    for script in scripts(root):
        claims = read_json(root / "figures" / f"{script.stem}.json")["claims"]
        link = f"[`{script.stem}`](reproductions/{script.name})"
        rows.append(f"| {link} | {title(script)} | {count(claims, 'identity')} | {count(claims, 'finding')} |")
        details += [claims_of(script.stem, claims), ""]
    return "\n".join([*rows, "", *details])


def title(script: Path) -> str:
    """The first line of the script's docstring: what it reproduces."""
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def count(claims: Sequence[Written], kind: str) -> str:
    """How many claims of a kind hold, and which do not."""
    tested = [claim for claim in claims if claim["kind"] == kind and claim["holds"] is not None]
    failing = [f"`{claim['id']}`" for claim in tested if not claim["holds"]]
    held = f"{len(tested) - len(failing)} of {len(tested)} hold"
    return f"{held}; not {', '.join(failing)}" if failing else held


def claims_of(name: str, claims: Sequence[Written]) -> str:
    """All claims of a script as a table that unfolds, with the notes of those that fail."""
    lines = [
        f"<details><summary>Claims of <code>{name}</code></summary>",
        "",
        "| claim | source | predicted | measured | tolerance | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for claim in claims:
        numbers = " | ".join(shown(claim[key]) for key in ("predicted", "measured", "tolerance"))
        told = f"**{claim['id']}** ({claim['kind']}): {claim['statement']}"
        if not claim["holds"]:
            told += f" *{claim['note']}*"
        row = [told.replace("|", "\\|"), claim["source"], numbers, VERDICTS[claim["holds"]]]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", "</details>"])


def shown(number: float | None) -> str:
    """A number of a table."""
    return "—" if number is None else f"{number:.4g}"


def rerun(root: Path) -> int:
    """Run every script; what went wrong stands in the last lines."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for script in scripts(root):
            ended = subprocess.run([sys.executable, str(script), "--out", folder], cwd=root, check=False)
            if ended.returncode:
                problems.append(f"{script.stem}: exit status {ended.returncode}")
                continue
            committed = root / "figures" / f"{script.stem}.json"
            if not committed.exists():
                problems.append(f"{script.stem}: figures/{committed.name} is missing")
                continue
            new = read_json(Path(folder) / committed.name)["claims"]
            problems += [f"{script.stem}: {line}" for line in changes(read_json(committed)["claims"], new)]
    for line in problems:
        print(line, file=sys.stderr)
    return 1 if problems else 0


def changes(old: Sequence[Written], new: Sequence[Written]) -> list[str]:
    """What differs in the claims' names, kinds and verdicts; the numbers may move."""
    told = lambda claims: {claim["id"]: f"{claim['kind']}, {VERDICTS[claim['holds']].strip('*')}" for claim in claims}
    before, after = told(old), told(new)
    names = dict.fromkeys([*before, *after])
    differing = [name for name in names if before.get(name) != after.get(name)]
    return [f"{name} was {before.get(name, 'absent')}, is {after.get(name, 'absent')}" for name in differing]


if __name__ == "__main__":
    raise SystemExit(main())
