"""How parameters look in Prefect's form, which is made from their JSON Schema."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema


def named_as_written(name: str, info: object) -> str:  # noqa: ARG001 - pydantic's signature
    """Return the title of a field: its name, as `-p`, prefect.yaml and the flow's own parameters have it."""
    return name


def choice_or_text(choices: list[str], otherwise: str) -> Any:
    """Return what JSON Schema says of a text that is one of some names, or something else: a list, and a field."""
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": choices, "title": "bundled"},
                {"type": "string", "minLength": 1, "title": otherwise},
            ]
        }
    )


DataAddress = Annotated[str, Field(min_length=1, examples=["digits", "visits.csv", "s3://bucket/visits/"])]
"""What is trained on: never empty."""

TargetColumns = Annotated[
    str | tuple[str, ...] | None,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "title": "one column"},
                {"type": "array", "items": {"type": "string"}, "title": "several"},
                {"type": "null", "title": "none"},
            ]
        }
    ),
]
"""The columns to predict."""
