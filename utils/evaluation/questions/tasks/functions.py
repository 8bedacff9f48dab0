"""What the YAMLs beside it call. lm-eval loads this file by its path, as a module of no package."""

import importlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[3].name  # utils, or s2l where it is installed
_judging = importlib.import_module(f"{_PACKAGE}.evaluation.answers.judging")
_task_rows = importlib.import_module(f"{_PACKAGE}.evaluation.questions.task_rows")

number_results = _judging.number_results
letter_results = _judging.letter_results
latex_results = _judging.latex_results
question_results = _judging.question_results
rows_of_question_set = _task_rows.rows_of_question_set
alpaca_text = _task_rows.alpaca_text
response_text = _task_rows.response_text
