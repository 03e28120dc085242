"""What the clean process of a promotion runs: load a model as MLflow does, answer rows, and say who it was.

This file is run by its path and must import nothing of this project: only what travels with the model may be found.
"""

import json
import sys
from pathlib import Path

OWN = ("backprop", "flows")
ANSWER = "answer:"


def close_checkout() -> None:
    """Take directories off the import path that hold this project's code, as an editable installation puts there.

    Where MLflow lies beside it, it is an installed package; `foreign_modules` finds what is imported from there.
    """
    sys.path[:] = [
        place for place in sys.path if not (Path(place) / "flows").is_dir() or (Path(place) / "mlflow").is_dir()
    ]


def foreign_modules(place: str) -> list[str]:
    """Return the modules of this project that were imported from somewhere else than below a place."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return [
        f"{name} ({file})"
        for name, file in files.items()
        if name.split(".")[0] in OWN and file and not Path(file).is_relative_to(place)
    ]


def main() -> None:
    """Answer what standard input asks, as one line of JSON: the columns of the answer; an array has no name."""
    asked = json.loads(sys.stdin.read())
    close_checkout()
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(asked["tracking_uri"])
    place = mlflow.artifacts.download_artifacts(asked["model"], dst_path=asked["directory"])
    answer = mlflow.pyfunc.load_model(place).predict(pd.read_parquet(asked["rows"]))
    foreign = foreign_modules(place)
    if foreign:
        sys.exit(f"these modules do not travel with the model: {', '.join(foreign[:3])}")
    frame = answer if isinstance(answer, pd.DataFrame) else pd.DataFrame({"": answer})
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    sys.stdout.write(f"{ANSWER}{json.dumps(columns)}\n")


if __name__ == "__main__":
    main()
