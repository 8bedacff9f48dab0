"""The picture of a page for the README: its top as a browser shows it, in a file of under 200 kB.

    python benchmarks/picture.py res/quickstart_s2l/report.html docs/page.png

Needs chromium and its driver (Debian: apt-get install chromium chromium-driver).
"""

import argparse
import sys
from pathlib import Path

_PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_PROJECT_ROOT))

_SIZE = (1240, 1140)  # pixels of the page
_COLOURS = 64
_LARGEST = 200_000  # bytes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args(argv)

    from PIL import Image

    from tests.reporting.page.browser import Browser

    with Browser() as browser:
        browser.look(_SIZE[0])
        browser.open(arguments.page)
        browser.picture(arguments.picture, *_SIZE)
    Image.open(arguments.picture).convert("RGB").quantize(_COLOURS).save(arguments.picture, optimize=True)
    num_bytes = arguments.picture.stat().st_size
    print(f"{arguments.picture}: {num_bytes:,} bytes")
    return int(num_bytes > _LARGEST)


if __name__ == "__main__":
    sys.exit(main())
