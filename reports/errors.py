"""The error tree of the room.

ReportError (ValueError)   a run that cannot be told, or a folder that cannot be written
"""

__all__ = ["ReportError"]


class ReportError(ValueError):
    """Anything this room refuses; the message says where, got, expected and the way out."""
