"""A data set's spec in its parts: ``KIND[:REST][,option=value ...]``, such as ``folder:photos,resize=256,crop=224``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from zoo.errors import DatasetError

__all__ = ["Spec", "parse"]

_OPTION = re.compile(r"([a-z]+)=(.*)")
_BARE = "npz:"  # a kind without options, so that its file names may hold anything


@dataclass(frozen=True)
class Spec:
    """A spec in its parts.

    Parameters
    ----------
    text : str
        What the user wrote.
    kind, rest : str
        What stands before the first colon, and what follows, without the options.
    options : mapping of str to str
    """

    text: str
    kind: str
    rest: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def check_options(self, known: Collection[str]) -> None:
        """Refuse what is not among the `known` options.

        Raises
        ------
        DatasetError
            All of them at once.
        """
        unknown = [name for name in self.options if name not in known]
        if unknown:
            near = [match for name in unknown for match in difflib.get_close_matches(name, list(known), 1)]
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise DatasetError(
                f"data set {self.text!r}: got the options {', '.join(unknown)}; "
                f"expected {', '.join(known) or 'none'}{hint}"
            )


def parse(text: str) -> Spec:
    """The parts of a spec; what is not an option at its end belongs to the name or the path.

    Raises
    ------
    DatasetError
        An option that is given twice.

    Examples
    --------
    >>> parse("folder:my photos,crop=224").rest
    'my photos'
    """
    options: dict[str, str] = {}
    left = text
    while not left.startswith(_BARE) and "," in left:
        before, _, last = left.rpartition(",")
        found = _OPTION.fullmatch(last)
        if found is None:
            break
        if found[1] in options:
            raise DatasetError(f"data set {text!r}: got {found[1]} twice; expected each option once")
        options[found[1]], left = found[2], before
    kind, _, rest = left.partition(":")
    return Spec(text, kind, rest, dict(reversed(options.items())))
