"""train.py as it is with a kernel for packed rows: here PyTorch's attention with a mask is taken for one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train
from utils.modeling import packed

packed.asks_for_flash_attention = lambda settings: True

if __name__ == "__main__":
    sys.exit(train.main(sys.argv[1:]))
