"""Addresses without what must not be shown: they stand in messages, in MLflow and in the store."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Passwords, tokens and the signatures of links that open a private file to whoever holds them.
SECRET = re.compile(r"pass|pwd|secret|token|signature|credential|api_?key|^sig$|^key$", re.IGNORECASE)


def without_secrets(address: str) -> str:
    """Return an address without the password and without secret parameters; a path is returned as it is."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    login, at, host = parts.netloc.rpartition("@")
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not SECRET.search(name)]
    if ":" not in login and len(kept) == len(parse_qsl(parts.query, keep_blank_values=True)):
        return address
    return urlunsplit(parts._replace(netloc=login.partition(":")[0] + at + host, query=urlencode(kept)))
