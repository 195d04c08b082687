"""The error tree of the room.

ZooError (ValueError)
|-- UnknownNetworkError     a network name that the zoo does not have
|-- DatasetError            a data set that cannot be opened, or whose content is not usable
|   `-- MissingDatasetError a data set whose files are not on this machine
|-- ExportError             a format that cannot hold a network, or cannot be written here
`-- CheckpointError         a weights file that is missing, damaged, or of another kind
"""

__all__ = ["CheckpointError", "DatasetError", "ExportError", "MissingDatasetError", "UnknownNetworkError", "ZooError"]


class ZooError(ValueError):
    """Anything this room refuses; the message says where, got, expected, way out."""


class UnknownNetworkError(ZooError):
    """A network name that the zoo does not have."""


class DatasetError(ZooError):
    """A data set that cannot be opened, or whose content is not usable."""


class MissingDatasetError(DatasetError):
    """A data set whose files are not on this machine."""


class ExportError(ZooError):
    """A format that cannot hold a network, or cannot be written here."""


class CheckpointError(ZooError):
    """A weights file that is missing, damaged, or of another kind."""
