"""The error tree of the room.

EvaluateError (ValueError)
|-- RunFileError      a run file that is missing, damaged or of another schema
`-- ConstantsError    a table of constants with a missing or malformed row
"""

__all__ = ["ConstantsError", "EvaluateError", "RunFileError"]


class EvaluateError(ValueError):
    """Anything this room refuses; the message says where, what was found, what was expected and the way out."""


class RunFileError(EvaluateError):
    """A run file that is missing, damaged or of another schema."""


class ConstantsError(EvaluateError):
    """A table of constants with a missing or malformed row."""
