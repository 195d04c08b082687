"""The templates of the room's HTML pages: what they are filled with is escaped, and what is missing is an error."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["html_template"]


@cache
def html_template(name: str) -> Template:
    """The template `name` of the folder `templates`."""
    loader = PackageLoader("reports", "templates")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    return environment.get_template(name)
