"""What must be right before anything else is imported. Every script imports this first.

It says in one line what this Python lacks, instead of a traceback, and how OpenMP's threads wait.

Here, and in what is imported before, stands only syntax that Python 3.6 reads: an old one must get
to the message.
"""

import importlib.util
import os
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


def let_waiting_threads_sleep():
    """Torch's threads on a CPU spin while they wait for one another, unless the user has said how they wait.

    Alone that gains a few percent. Beside other work it costs many times its share of the processor, and
    every launch of several processes is such work. OpenMP reads these when torch is imported.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}:
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


check_environment()
let_waiting_threads_sleep()
