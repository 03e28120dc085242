"""What a person can do wrong, as types.

Every message is one line: what was wrong, where, and what to do. The command line prints it
without a traceback and exits with 2.
"""


class InputError(ValueError):
    """Something the user gave cannot be used; the message names it and the remedy."""


class SourceError(InputError):
    """A data source that cannot be read: missing, empty, truncated or of an unknown kind."""


class TableError(InputError):
    """A table that was read but cannot be trained on: a column, a row or a class is at fault."""


class DatasetError(InputError):
    """A dataset that cannot be written, or one in the store that is missing or damaged."""


class ModelError(InputError):
    """A model that is not there, was not registered by this project, or cannot do what is asked of it."""


class DestinationError(InputError):
    """A place that results cannot be written to: it is taken, unreachable or of no known kind."""


class SpaceError(InputError):
    """A search space that is not valid: an unknown name, a wrong value or no trials at all."""


class RunError(InputError):
    """A run that was asked for and is of no use: there is none, or it is not a trial that finished with its facts."""


class ClusterError(InputError):
    """A Dask scheduler that does not answer or has no workers."""


class SearchRunningError(InputError):
    """The same search is running in another process, whose runs and checkpoints must be left alone."""


class ServicesError(InputError):
    """`backprop up` cannot start, or not beside what runs already; the message says what to change."""


class RetrainingRunningError(InputError):
    """The same model is being retrained by another process, or on another machine."""


class DiskFullError(InputError):
    """There is no space left for a checkpoint, for weights or for MLflow's database; nothing finished is lost."""


class TrackingError(RuntimeError):
    """MLflow did not answer for so long that a stack could not be delivered; it is kept beside the datasets."""


class ServiceDiedError(RuntimeError):
    """A server or the worker of `backprop up` did not start, or died too often."""


class RunFailedError(RuntimeError):
    """A part of the run failed although its input was good; the message says which part and why."""
