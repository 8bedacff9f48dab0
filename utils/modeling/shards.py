"""The weights of a model that FSDP saved in shards, read on the CPU by torch's own reader.

accelerate saves `{"model": weights}` with torch.distributed.checkpoint: `.metadata` says which piece of which
tensor lies where in the `*.distcp` files. torch reads the pieces with weights_only. The index is a plain
pickle, which torch would let run any code, so it is read here by an unpickler that knows the classes of an
index alone.
"""

import pickle
import sys
import warnings
from pathlib import Path, PurePath
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.state_dict_loader import load

from ..process.errors import explained
from ..reading import open_bytes

_PREFIX = "model."  # of accelerate's `{"model": weights}`
_CLASSES = (
    metadata.Metadata,
    metadata.MetadataIndex,
    metadata.TensorStorageMetadata,
    metadata.BytesStorageMetadata,
    metadata.ChunkStorageMetadata,
    metadata.TensorProperties,
    metadata.StorageMeta,
    metadata._MEM_FORMAT_ENCODING,
    filesystem._StorageInfo,
    torch.Size,
    torch.serialization._get_layout,
)


def read_shards(folder: Path) -> dict[str, torch.Tensor]:
    """Name of each tensor -> the tensor, whole.

    Raises: ValueError if the shards are damaged or hold another thing than a model.
    """
    reader = _Reader(folder)
    with explained(f"{folder}: the shards cannot be read", "copy them again"):
        index = reader.read_metadata()
        saved = index.state_dict_metadata.items()
        tensors = {
            name: torch.empty(about.size, dtype=about.properties.dtype)
            for name, about in saved
            if isinstance(about, metadata.TensorStorageMetadata)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it reads in one process, as it is asked to
            load(tensors, storage_reader=reader, no_dist=True)
    others = [name for name in tensors if not name.startswith(_PREFIX)]
    if others or not tensors:
        raise ValueError(
            f"{folder}: found {others[0] if others else 'nothing'} among the shards, expected the weights of "
            "a model, as accelerate saves them: name the folder that holds these"
        )
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}


class _Reader(filesystem.FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        with open_bytes(Path(self.path) / filesystem._metadata_fn) as file:
            return _IndexUnpickler(file).load()


class _IndexUnpickler(pickle.Unpickler):
    """Makes the objects that an index consists of, and refuses all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name.partition(".")[0] == "pathlib" and global_name.endswith("Path"):
            return PurePath  # where the shards were written
        if (module_name, global_name) == ("builtins", "getattr"):
            return _memory_format  # Pythons differ in how they pickle a member of an enumeration
        found = getattr(sys.modules.get(module_name), global_name, None)
        is_known = any(found is known for known in _CLASSES)
        if is_known or isinstance(found, (torch.dtype, torch.layout)):
            return found
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no index holds")


def _memory_format(kind: object, name: str) -> metadata._MEM_FORMAT_ENCODING:
    if kind is not metadata._MEM_FORMAT_ENCODING:
        raise pickle.UnpicklingError(f"it asks for {name} of {kind}, which no index holds")
    return metadata._MEM_FORMAT_ENCODING[name]
