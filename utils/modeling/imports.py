"""The first import of torch and transformers, without packages that transformers loads for hardly anybody.

transformers imports scikit-learn for speculative decoding and scores of a benchmark, scipy for detecting
objects, peft and datasets to ask whether something is of their classes. Together they take longer than torch.
"""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_HARDLY_USED = ("datasets", "peft", "scipy", "sklearn")
_OF_TRANSFORMERS = ("models.auto.modeling_auto", "models.auto.tokenization_auto", "trainer")


def import_transformers() -> None:
    """Import torch and what we use of transformers. Without this call either is imported as usual, later."""
    if "transformers" in sys.modules:
        return
    with _no_garbage_collection():
        importlib.import_module("torch")
        with _imported_when_used(_HARDLY_USED):
            for name in _OF_TRANSFORMERS:
                importlib.import_module(f"transformers.{name}")


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Around the first imports of a process: what they make stays.

    Looking through it again and again takes a tenth longer.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.freeze()  # nor is it looked through later


@contextlib.contextmanager
def _imported_when_used(packages: Sequence[str]) -> Iterator[None]:
    """`import` and `from ... import` of these packages give names that stand for what they will be.

    Whoever uses such a name, then or later, has the package imported as it is. A package that is not
    installed or was imported before is left alone, and all imports afterwards are as usual.
    """
    absent = [name for name in packages if name not in sys.modules and PathFinder.find_spec(name) is not None]
    finder = _LaterFinder(absent)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.withdraw()


class _LaterFinder(MetaPathFinder, Loader):
    """Finds a stand-in for each module of some packages, until it is withdrawn.

    Attributes:
        packages: their names.
        stand_ins: names of the modules found so far.
    """

    def __init__(self, packages: Sequence[str]):
        self.packages = packages
        self.stand_ins: list[str] = []

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        is_ours = name.partition(".")[0] in self.packages
        return ModuleSpec(name, self, is_package=True) if is_ours else None

    def exec_module(self, module: ModuleType) -> None:
        self.stand_ins.append(module.__name__)

        def name_in_it(name: str) -> _Later:
            if name.startswith("__"):  # Python asks for these itself
                raise AttributeError(name)
            return _Later(self, module.__name__, name)

        module.__getattr__ = name_in_it  # type: ignore[method-assign]

    def withdraw(self) -> None:
        """From now on each import is of the package itself."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        while self.stand_ins:
            del sys.modules[self.stand_ins.pop()]


class _Later:
    """A class or function of a module that is imported when this is used."""

    def __init__(self, finder: _LaterFinder, module: str, name: str):
        self._finder = finder
        self._module = module
        self._name = name

    def _itself(self) -> Any:
        self._finder.withdraw()
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._itself()(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._itself(), name)

    def __instancecheck__(self, instance: Any) -> bool:
        # As long as nobody has imported the class, nothing is of it.
        return self._module in sys.modules and isinstance(instance, self._itself())

    def __mro_entries__(self, _: Any) -> tuple[Any, ...]:
        return (self._itself(),)  # as the base of a class

    def __or__(self, _: Any) -> Any:
        return Any  # in an annotation

    __ror__ = __or__
