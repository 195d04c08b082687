"""A history of runs in SQLite or PostgreSQL.

places      where a store is, without its password       opening     connections
schema      the tables                                    migrations  making them, from older versions too
packing     a run as rows, and back                       queries     filters
store       open_store(), Store                           failures    what drivers say, in words
"""

from reports.store.store import Added, Store, open_store

__all__ = ["Added", "Store", "open_store"]
