"""The `backprop train` of some parameters, as a person would type it."""

import shlex

from flows.parameters import AUTO, TrainParameters


def train_command(parameters: TrainParameters, uri: str) -> str:
    """Return the command that ingests the same data and trains the same space, quoted for a shell.

    It has the options that are not as they are anyway, but for those of where to train, which change no number. An
    address stands in it as `uri`, the dataset's, which has no password. A space around a champion is one that only
    `backprop retrain` knows.
    """
    default = TrainParameters(data=parameters.data)
    split, default_split = parameters.split, default.split
    given = [
        ("--data", uri if ":" in parameters.data else parameters.data, None),
        *(("--target", target, None) for target in parameters.targets),
        ("--space", parameters.space, None),
        ("--task", parameters.task, default.task),
        ("--preparation", parameters.preparation, None),
        ("--split-by", split.by, default_split.by),
        ("--split-column", split.column, None),
        ("--validation", split.validation, default_split.validation),
        ("--test", split.test, default_split.test),
        ("--split-seed", split.seed, default_split.seed),
        ("--experiment", parameters.experiment, None),
        ("--model", parameters.model, None),
        ("--datasets", parameters.datasets, default.datasets),
    ]
    options = [(name, str(value)) for name, value, usual in given if value != usual]
    command = "retrain" if parameters.space == AUTO else "train"
    return shlex.join(["backprop", command, *(part for option in options for part in option)])
