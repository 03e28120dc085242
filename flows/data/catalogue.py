"""The datasets of a root: listed, found by a name or the beginning of a digest, and removed with their folds."""

from dataclasses import dataclass

from flows.data.root import SCHEMA, Root
from flows.data.store import Schema
from flows.errors import DatasetError

SHORT = 12
"""Digits of a digest that are shown: enough to tell all the datasets of the world apart in practice."""


@dataclass(frozen=True)
class Entry:
    """A dataset of a root, without its rows."""

    digest: str
    place: str
    size: int
    schema: Schema

    @property
    def title(self) -> str:
        """What a person calls it: its name, and of a fold which it is."""
        fold = self.schema.fold
        return self.schema.name if fold is None else f"{self.schema.name}, {fold}"

    def facts(self) -> dict[str, object]:
        """Return what is known of it, as JSON has it."""
        return {"digest": self.digest, "path": self.place, "bytes": self.size, **self.schema.model_dump(mode="json")}


def list_datasets(root: Root) -> list[Entry]:
    """Return every dataset of a root by name, then digest; the folds of one come after it, in order.

    Raises
    ------
    DatasetError
        If the root cannot be read, or a dataset is damaged.
    """
    entries = [entry_of(root, digest) for digest in root.digests()]
    return sorted(entries, key=_place)


def _place(entry: Entry) -> tuple[str, str, int, int]:
    fold = entry.schema.fold
    if fold is None:
        return (entry.schema.name, entry.digest, 0, 0)
    return (entry.schema.name, fold.dataset, fold.of, fold.number)


def folds_of(root: Root, dataset: Entry) -> list[Entry]:
    """Return the folds of a dataset, in order; those of every cross-validation it was cut for."""
    return [entry for entry in list_datasets(root) if entry.schema.fold and entry.schema.fold.dataset == dataset.digest]


def entry_of(root: Root, digest: str) -> Entry:
    """Return what is recorded of one dataset."""
    place = root.place(digest)
    try:
        schema = Schema.model_validate_json(root.read(f"{digest}/{SCHEMA}") or "")
    except ValueError as error:
        reason = " ".join(str(error).split())[:80]
        raise DatasetError(
            f"{place}: {SCHEMA} is damaged or of another version ({reason}); delete the directory and ingest again"
        ) from error
    return Entry(digest, place, root.size(digest), schema)


def find_dataset(root: Root, wanted: str) -> Entry:
    """Return the one dataset that is called so, or whose digest begins so; a fold is found by its digest only.

    Raises
    ------
    DatasetError
        If there is none, or more than one.
    """
    found = [
        entry
        for entry in list_datasets(root)
        if entry.digest.startswith(wanted) or (wanted == entry.schema.name and entry.schema.fold is None)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DatasetError(f"no dataset is called {wanted!r} or has a digest that begins so; see `backprop data list`")
    shown = ", ".join(f"{entry.digest[:SHORT]} ({entry.title})" for entry in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    raise DatasetError(f"{wanted!r} is not one dataset but {len(found)}: {shown}{more}; give more of the digest")
