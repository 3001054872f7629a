"""What a reproduction needs besides its science: command line, claims, results on disk, progress and figure style.

The only part of the package that touches argv, and, with `sweeps`, disk, the terminal and the clock. A reproduction
hands `main` an `Experiment` and is done:

    if __name__ == "__main__":
        raise SystemExit(experiment.main(EXPERIMENT))
"""

from grokjax.experiment.claims import Claim, agrees, at_least, at_most, ledger
from grokjax.experiment.command_line import Experiment, Part, main
from grokjax.experiment.fields import check_fields
from grokjax.experiment.figures import COLOURS, legend_of, new_figure
from grokjax.experiment.progress import progress, show_progress
from grokjax.experiment.results import dataset, stack
from grokjax.experiment.storage import read_json, read_results, write_figure, write_json, write_results

__all__ = [
    "COLOURS",
    "Claim",
    "Experiment",
    "Part",
    "agrees",
    "at_least",
    "at_most",
    "check_fields",
    "dataset",
    "ledger",
    "legend_of",
    "main",
    "new_figure",
    "progress",
    "read_json",
    "read_results",
    "show_progress",
    "stack",
    "write_figure",
    "write_json",
    "write_results",
]
