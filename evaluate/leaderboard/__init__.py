"""Every method on every network, at every number of steps, on the same samples, with the same accounting.

request.py     what is asked for, and the units of work it falls into
cells.py       one result on disk, found again by a hash of what determines it
ours.py        a recipe of this project        peers.py       another converter
resources.py   the ANN's own time, and how much memory a measurement took
worker.py      units one after the other, with what those of one network share; a process of its own
running.py     all units, shared out among workers, those on disk left out
assembling.py  all cells as one run file
published.py   figures from the literature, from published.toml, never mixed with measured ones
"""
