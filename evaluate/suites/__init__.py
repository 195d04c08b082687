"""Suites: many cases from one file, here or on a cluster, each with a run file of its own.

suite.py       the file: options, a matrix, what is left out and what is added
identity.py    the hash of all that determines a case
worker.py      the process that identifies cases and runs them
pools.py       where cases run: processes here, or a Dask cluster
folders.py     run files and records of failures: what is finished is told from these alone
running.py     run_suite(): plan, run what is missing, keep every outcome
table.py       the outcomes as a table
"""
