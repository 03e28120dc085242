"""How a person writes a table or a query of a database: ``URL?table=NAME`` or ``URL?query=SELECT ..``."""

import re
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote_plus

import sqlalchemy as sa

from flows.data.sources.addresses import SECRET
from flows.errors import SourceError

# Everything behind query= belongs to the query, which may hold any character.
ASKED = re.compile(r"(?P<before>.*?)(?:^|&)(?:query=(?P<query>.*)|table=(?P<table>[^&]*)(?P<after>.*))$", re.DOTALL)
# The driver for PostgreSQL that our extra `sql` brings, whichever SQLAlchemy would take.
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


@dataclass(frozen=True)
class SqlAddress:
    """A database and what is asked of it: a table (``schema.table`` too) or a query. ``uri`` has no password."""

    url: sa.URL
    table: str | None
    query: str | None
    uri: str

    @property
    def name(self) -> str:
        """The table's name; of a query, the database's."""
        if self.table is not None:
            return self.table.rpartition(".")[2]
        return PurePath(self.url.database or "query").stem

    def without_password(self, text: str) -> str:
        """Return what a driver says without the password, should it repeat it."""
        return text.replace(str(self.url.password), "***") if self.url.password else text


def read_address(data: str) -> SqlAddress:
    """Take an address apart.

    Raises
    ------
    SourceError
        If it is none, or asks for neither a table nor a query.
    """
    base, _, parameters = data.partition("?")
    asked = ASKED.fullmatch(parameters)
    before, after = (asked["before"], asked["after"] or "") if asked else (parameters, "")
    connection = "&".join(part for part in (before, after.lstrip("&")) if part)
    try:
        url = sa.make_url(f"{base}?{connection}" if connection else base)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SourceError(
            "sql: this is no address of a database; write sql:DIALECT://USER@HOST/DATABASE?table=NAME, "
            "or sql:sqlite:///FILE?table=NAME"
        ) from error
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    shown = "sql:" + shown_url(base, url)
    if asked is None or not (asked["table"] or asked["query"]):
        raise SourceError(f"{shown}: which table? Add ?table=NAME or ?query=SELECT .. to the address")
    if asked["query"]:
        query = literal_query(asked["query"])
        return SqlAddress(url, None, query, f"{shown}?query={' '.join(query.split())}")
    table = unquote_plus(asked["table"])
    return SqlAddress(url, table, None, f"{shown}?table={table}")


def shown_url(base: str, url: sa.URL) -> str:
    """Return an address as it was given, without its password and secret parameters."""
    scheme = base.partition(":")[0]
    kept = {name: value for name, value in url.query.items() if not SECRET.search(name)}
    bare = sa.URL.create(scheme, url.username, None, url.host, url.port, url.database, kept)
    return bare.render_as_string()


def literal_query(text: str) -> str:
    """Return the query; one without any space was escaped as web addresses are."""
    return text if re.search(r"\s", text) else unquote_plus(text)
