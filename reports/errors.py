"""The error tree of the room.

ReportError (ValueError)        a run that cannot be told, or a folder that cannot be written
`-- StoreError                  a run store that cannot be used as asked
    |-- MissingStoreError       there is none
    |-- DamagedStoreError       it is not what was written
    |-- NewerStoreError         a newer version of this program wrote it
    |-- BusyStoreError          others kept it locked for too long
    |-- FullStoreError          no room is left
    `-- ReadOnlyStoreError      it may be read only
"""

__all__ = [
    "BusyStoreError",
    "DamagedStoreError",
    "FullStoreError",
    "MissingStoreError",
    "NewerStoreError",
    "ReadOnlyStoreError",
    "ReportError",
    "StoreError",
]


class ReportError(ValueError):
    """Anything this room refuses; the message says where, got, expected and the way out."""


class StoreError(ReportError):
    """A run store that cannot be used as asked."""


class MissingStoreError(StoreError):
    """There is no run store at that place."""


class DamagedStoreError(StoreError):
    """A file that is no run store, or one whose content is not what was written."""


class NewerStoreError(StoreError):
    """A store whose schema this version does not know."""


class BusyStoreError(StoreError):
    """A store that other programs kept locked for too long."""


class FullStoreError(StoreError):
    """No room is left for what was to be added."""


class ReadOnlyStoreError(StoreError):
    """A store that may be read and not be written."""
