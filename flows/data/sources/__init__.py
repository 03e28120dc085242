"""Where tables come from: one small module for each kind of source, behind one registry."""

from flows.data.sources.registry import open_source, require_targets
from flows.data.sources.source import ColumnWidened, Source

__all__ = ["ColumnWidened", "Source", "open_source", "require_targets"]
