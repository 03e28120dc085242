"""scikit-learn's way through the pipeline's grid: ``python -m benchmarks.grid_search GRID``, with a grid as JSON.

``GridSearchCV`` on all cores, one split of the pipeline's sizes, no tracking, no refit. Prints the number of fits.
"""

import json
import sys
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neural_network import MLPClassifier


def main() -> None:
    """Search the grid given."""
    # Every fit says that it did not converge, in the processes that it starts as well.
    warnings.simplefilter("ignore")
    grid = json.loads(sys.argv[1])
    x, codes = load_digits(return_X_y=True)
    rows = grid["train_rows"] + grid["validation_rows"]
    validates = np.arange(rows) >= grid["train_rows"]
    search = GridSearchCV(
        MLPClassifier(
            tuple(grid["hidden"]),
            solver="sgd",
            momentum=0,
            alpha=0,
            batch_size=grid["batch"],
            max_iter=grid["epochs"],
            n_iter_no_change=1000,
            tol=0,
        ),
        {"learning_rate_init": grid["rates"], "random_state": grid["seeds"]},
        n_jobs=grid["processes"],
        refit=False,
        cv=PredefinedSplit(np.where(validates, 0, -1)),
        error_score="raise",
    )
    search.fit((x[:rows] / 16).astype("float32"), codes[:rows])
    sys.stdout.write(json.dumps({"fits": len(search.cv_results_["params"])}) + "\n")


if __name__ == "__main__":
    main()
