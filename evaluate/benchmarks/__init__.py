"""How fast is a spiking network simulated? Ratios to the forward pass of its original, on this machine.

request.py      the options, and the cases that they stand for
subjects.py     the networks: the zoo's, and synthetic ones
architectures.py  networks of known shape and random weights
contestants.py  who is timed: the ANN, our engines, other converters
rounds.py       interleaved timing, ratios
measuring.py    one case in this process
worker.py       the process of one case; process.py starts it
assembling.py   the cases as a run file
running.py      case after case, the run file on disk after each
table.py        the run as a table for the terminal
"""
