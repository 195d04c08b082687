"""One of each: files that try to harm whoever reads them as a model or as data, made on the fly.

Each builder writes its file into a folder and returns what to type after `python -m convert`. A payload, where there is
one, makes the canary: a file that exists only if something in the attack was executed.
"""

from __future__ import annotations

from importlib.util import find_spec

from tests.attacks.archive_files import ARCHIVES
from tests.attacks.builders import Builder
from tests.attacks.module_files import MODULES
from tests.attacks.other_files import OTHERS


def gallery() -> dict[str, Builder]:
    """All of them, with those of formats whose library is installed."""
    found = {**MODULES, **ARCHIVES, **OTHERS}
    if find_spec("onnx"):
        from tests.attacks.onnx_files import MODELS

        found |= MODELS
    if find_spec("skops"):
        from tests.attacks.skops_files import ESTIMATORS

        found |= ESTIMATORS
    return found
