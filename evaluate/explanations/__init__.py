"""Why is this number what it is? Every number of a run file, explained from the run file alone.

numbers.py     the numbers of a run file, each with a name
again.py       the same numbers, computed anew by the code that computed them, and traced
meanings.py    what each is, in one line
formulas.py    a trace as text
answers.py     the explanation of one number; the list of all
"""

from evaluate.explanations.answers import explain, listing

__all__ = ["explain", "listing"]
