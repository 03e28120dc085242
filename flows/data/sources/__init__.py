"""Where tables come from: one small module for each kind of source, behind one registry."""

from flows.data.sources.registry import check_source, open_source, require_targets
from flows.data.sources.source import ColumnWidened, Source
from flows.data.sources.table import Table, read_source

__all__ = ["ColumnWidened", "Source", "Table", "check_source", "open_source", "read_source", "require_targets"]
