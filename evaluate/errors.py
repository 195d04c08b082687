"""The error tree of the room.

EvaluateError (ValueError)
|-- RunFileError      a run file that is missing, damaged or of another schema
|-- BenchmarkError    a benchmark that cannot be run as it was asked for
|   `-- PeerError     another simulator that does not run the network
|-- ProcessError      a process that died over its question
|-- SuiteError        a suite that cannot be run as it was written
|-- ConformanceError  a contender that cannot be asked
|-- LeaderboardError  a leaderboard that cannot be made as it was asked for
`-- ConstantsError    a table of constants with a missing or malformed row
"""

__all__ = [
    "BenchmarkError",
    "ConformanceError",
    "ConstantsError",
    "EvaluateError",
    "LeaderboardError",
    "PeerError",
    "ProcessError",
    "RunFileError",
    "SuiteError",
]


class EvaluateError(ValueError):
    """Anything this room refuses; the message says where, what was found, what was expected and the way out."""


class RunFileError(EvaluateError):
    """A run file that is missing, damaged or of another schema."""


class ConstantsError(EvaluateError):
    """A table of constants with a missing or malformed row."""


class BenchmarkError(EvaluateError):
    """A benchmark that cannot be run as it was asked for."""


class PeerError(BenchmarkError):
    """Another simulator that does not run the network; recorded as its result."""


class ProcessError(EvaluateError):
    """A process that died over its question; recorded as the result of the case."""


class SuiteError(EvaluateError):
    """A suite that cannot be run as it was written or asked for."""


class ConformanceError(EvaluateError):
    """A contender that cannot be asked: unknown, not installed, or no function."""


class LeaderboardError(EvaluateError):
    """A leaderboard that cannot be made as it was asked for."""
