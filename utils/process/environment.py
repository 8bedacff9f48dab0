"""Say in one line what this Python lacks, instead of a traceback. Every script imports this first.

Here, and in what is imported before, stands only syntax that Python 3.6 reads: an old one must get
to the message.
"""

import importlib.util
import sys

LEAST_PYTHON = (3, 11)
PACKAGES = ("faiss", "numpy", "pydantic", "yaml")  # imported before a command line is read
WAY_OUT = "run `make install && source .venv/bin/activate` in the project's folder, then the same command"


def check_environment():
    """End the process if it cannot work here."""
    if sys.version_info < LEAST_PYTHON:
        found = "Python {}.{}".format(*sys.version_info)
        sys.exit("error: found {}, expected {}.{} or newer: {}".format(found, *LEAST_PYTHON, WAY_OUT))
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit("error: found no package {}: {}".format(", ".join(missing), WAY_OUT))


check_environment()
