"""A history of runs in SQLite or PostgreSQL.

places      where a store is, without its password       opening     connections
schema      the tables                                    migrations  making them, from older versions too
packing     a run as rows, and back                       queries     filters
store       open_store(), Store                           failures    what drivers say, in words
intake      runs from files and lines                     lines       a store as lines of JSON
listing     a history as a table                          references  find_runs(): paths, commits, keys
"""

from reports.store.references import find_runs
from reports.store.store import Added, Commit, Store, open_store

__all__ = ["Added", "Commit", "Store", "find_runs", "open_store"]
