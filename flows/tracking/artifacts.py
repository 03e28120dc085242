"""Where the files of a run lie, if a process can write them itself."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def local_directory(artifact_uri: str) -> Path | None:
    """Return the directory that an artifact URI names on this file system, or None if it is somewhere else."""
    if artifact_uri.startswith("file:"):
        place = urlsplit(artifact_uri)
        return Path(url2pathname(place.path)) if place.netloc in ("", "localhost") else None
    path = Path(artifact_uri)
    return path if path.is_absolute() else None
