"""The README's tables and the comparison of verdicts, on a small project of toy scripts."""

from __future__ import annotations

import importlib
import json

import pytest

together = importlib.import_module("reproductions.__main__")

SCRIPT = '''"""A toy (arXiv 0000.00000, figure 1). And more."""
import json, pathlib, sys
claims = json.loads({claims!r})
pathlib.Path(sys.argv[2], "toy.json").write_text(json.dumps({{"claims": claims}}))
raise SystemExit({status})
'''


def claim(name, holds: bool | None = True, kind="identity", measured: float | None = 1.0):
    return {"id": name, "source": "paper", "statement": f"Statement |{name}|.", "predicted": 1.0, "measured": measured,
            "tolerance": 0.5, "kind": kind, "holds": holds, "note": "Seen."}  # fmt: skip


CLAIMS = [claim("law"), claim("early", False, "finding", 2.0), claim("late", None, "finding", None)]


@pytest.fixture
def project(tmp_path):
    for folder in ("reproductions", "figures"):
        (tmp_path / folder).mkdir()
    (tmp_path / "README.md").write_text(f"Before.\n{together.BEGIN}\nold\n{together.END}\nAfter.\n")
    (tmp_path / "figures" / "toy.json").write_text(json.dumps({"claims": CLAIMS}))
    (tmp_path / "reproductions" / "_shared.py").write_text("raise SystemExit(9)")
    return tmp_path


def write_script(project, claims, status=0):
    (project / "reproductions" / "toy.py").write_text(SCRIPT.format(claims=json.dumps(claims), status=status))


def test_tables_are_written_between_their_marks_and_then_current(project, capsys):
    write_script(project, CLAIMS)
    assert together.main(["table", "--check"], project) == 1
    assert "stale" in capsys.readouterr().err
    assert "\nold\n" in (project / "README.md").read_text()
    assert together.main(["table"], project) == 0
    assert together.main(["table", "--check"], project) == 0
    text = (project / "README.md").read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    first, *rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| script")]
    assert first == (
        "| [`toy`](reproductions/toy.py) | A toy (arXiv 0000.00000, figure 1). And more | 1 of 1 hold "
        "| 0 of 1 hold; not `early` |"
    )
    assert rows[1:] == [
        "| **law** (identity): Statement \\|law\\|. | paper | 1 | 1 | 0.5 | holds |",
        "| **early** (finding): Statement \\|early\\|. *Seen.* | paper | 1 | 2 | 0.5 | **fails** |",
        "| **late** (finding): Statement \\|late\\|. *Seen.* | paper | 1 | — | 0.5 | not applicable |",
    ]


def test_new_numbers_in_a_json_file_make_the_readme_stale(project):
    write_script(project, CLAIMS)
    together.main(["table"], project)
    (project / "figures" / "toy.json").write_text(json.dumps({"claims": [claim("law", measured=1.25), *CLAIMS[1:]]}))
    assert together.main(["table", "--check"], project) == 1


def test_a_readme_without_marks_is_left_alone(project, capsys):
    (project / "README.md").write_text("Nothing.\n")
    assert together.main(["table"], project) == 1
    assert "must hold the lines" in capsys.readouterr().err
    assert (project / "README.md").read_text() == "Nothing.\n"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (CLAIMS, []),
        ([claim("law", measured=1.4), *CLAIMS[1:]], []),
        ([CLAIMS[0], claim("early", True, "finding"), CLAIMS[2]], ["early was finding, fails, is finding, holds"]),
        ([CLAIMS[0], claim("early", False), CLAIMS[2]], ["early was finding, fails, is identity, fails"]),
        (CLAIMS[:2], ["late was finding, not applicable, is absent"]),
        ([*CLAIMS, claim("new")], ["new was absent, is identity, holds"]),
    ],
)
def test_a_rerun_fails_when_a_verdict_changes_but_not_when_a_number_does(project, capfd, claims, told):
    write_script(project, claims)
    assert together.main(["rerun"], project) == bool(told)
    assert capfd.readouterr().err.splitlines() == [f"toy: {line}" for line in told]


def test_a_rerun_tells_of_scripts_that_fail_or_were_never_run(project, capfd):
    write_script(project, CLAIMS, status=1)
    assert together.main(["rerun"], project) == 1
    assert capfd.readouterr().err == "toy: exit status 1\n"
    write_script(project, CLAIMS)
    (project / "figures" / "toy.json").unlink()
    assert together.main(["rerun"], project) == 1
    assert capfd.readouterr().err == "toy: figures/toy.json is missing\n"
