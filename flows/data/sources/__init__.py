"""Where tables come from: one small module for each kind of source, behind one registry."""

from flows.data.sources.registry import check_source, read_source
from flows.data.sources.table import Table

__all__ = ["Table", "check_source", "read_source"]
