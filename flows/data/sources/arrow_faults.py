"""What Arrow finds wrong with a file of its own or a Parquet file, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from flows.data.sources.files import DataFile, first_line
from flows.errors import SourceError


@contextmanager
def readable_as(kind: str, file: DataFile) -> Iterator[None]:
    """Turn what Arrow raises of a damaged file into a SourceError that says what it should have been."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise damaged(kind, file, error) from error
    except OSError as error:
        # Arrow says of a damaged file, as of a disk that fails, that reading failed; the former has no number.
        if error.errno is not None:
            raise
        raise damaged(kind, file, error) from error


def damaged(kind: str, file: DataFile, error: Exception) -> SourceError:
    """Say in one line what is wrong with the file."""
    return SourceError(f"{file.uri}: cannot be read as {kind}: {first_line(error)}; write the file again")
