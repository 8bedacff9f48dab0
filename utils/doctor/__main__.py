"""Say what this machine has and lacks, and try out the pipeline: what a report of a fault should hold.

    python -m utils.doctor      in this project's folder
    python -m s2l.doctor        where it is installed

It holds no secrets, no names of users and machines, and no path of yours. The exit code is 0 where nothing
is wrong.
"""

import argparse
import sys
from collections.abc import Callable

from ..terminal import labelled
from .findings import (
    Finding,
    devices,
    disk,
    examined,
    faiss_build,
    hub,
    packages,
    self_test,
    variables,
    versions,
)

CHECKS: dict[str, Callable[[], Finding]] = {
    "version": versions,
    "packages": packages,
    "devices": devices,
    "faiss": faiss_build,
    "disk": disk,
    "hub": hub,
    "variables": variables,
    "self-test": self_test,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(argv)
    wrong = []
    for label, check in CHECKS.items():
        finding = examined(check)
        mark = "WRONG: " if finding.is_wrong else ""
        print("\n".join(labelled(label, mark + finding.text, indent="")), flush=True)
        if finding.is_wrong:
            wrong.append(label)
    print(f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
