"""What transformers imports for hardly anybody is imported when it is used, and is then what it is."""

from tests.conftest import run_script

_CODE = """
import sys
from utils.modeling.imports import import_transformers

before = list(sys.meta_path)
import_transformers()
later = {"peft", "sklearn", "scipy", "datasets"}
assert not later & sys.modules.keys() and sys.meta_path == before

import torch
from transformers import AutoConfig, AutoModelForCausalLM, trainer, trainer_utils
from transformers.generation import candidate_generator
from transformers.utils import is_peft_available, is_sklearn_available

assert is_peft_available() and is_sklearn_available()
layers = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=16)
model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt_neox", **layers))
assert not trainer_utils._is_peft_model(model) and not isinstance([], trainer.datasets.Dataset)
assert not later & sys.modules.keys(), "nothing can be of a class that is not imported"

import datasets
import peft

adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM"))
assert trainer_utils._is_peft_model(adapted) and not trainer_utils._is_peft_model(torch.nn.Linear(1, 1))
assert isinstance(datasets.Dataset.from_list([{"a": 1}]), trainer.datasets.Dataset)

class Own(trainer_utils.PeftModel):
    pass


assert issubclass(Own, peft.PeftModel)

false_positives, _, _ = candidate_generator.roc_curve([0, 1], [0.1, 0.9])
assert false_positives[-1] == 1 and "sklearn.metrics" in sys.modules
"""

_USED_AT_ONCE = """
import sys
from utils.modeling.imports import _imported_when_used

with _imported_when_used(["sklearn", "no_such_package"]):
    import sklearn.metrics
    from sklearn.metrics import roc_curve

    assert sklearn.metrics.roc_curve([0, 1], [0.1, 0.9])[0][-1] == roc_curve([0, 1], [0.1, 0.9])[0][-1] == 1
    assert sys.modules["sklearn"].__file__ and not [one for one in sys.meta_path if "Later" in repr(one)]
    try:
        import no_such_package
    except ModuleNotFoundError as error:
        assert error.name == "no_such_package"
"""


def test_what_is_imported_later_is_what_it_would_have_been():
    run_script("-c", _CODE)


def test_what_is_used_at_once_is_imported_at_once():
    run_script("-c", _USED_AT_ONCE)
