"""How alike summaries are to their references: BLEU, ROUGE-L and BERTScore, from 0 to 100.

Each comes from the library that defines it: sacrebleu, rouge-score and bert-score (the extra `text`).
"""

from collections.abc import Sequence
from typing import Any


def text_scores(
    metrics: Sequence[str], responses: Sequence[str], references: Sequence[str], bert_score_model: str
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The scores of all texts together and of each text.

    BLEU is taken over the whole corpus, and sentence by sentence for single texts. The others are means.

    Returns:
        Metric -> its value over all texts, with `<metric>_settings` -> what it depends on.
        And metric -> value of each text.
    """
    overall: dict[str, Any] = {}
    each: dict[str, list[float]] = {}
    for metric in metrics:
        if metric == "bleu":
            overall[metric], each[metric], settings = _bleu(responses, references)
        else:
            score = _rouge_l if metric == "rouge_l" else _bert_score
            each[metric], settings = score(responses, references, bert_score_model)
            overall[metric] = sum(each[metric]) / len(each[metric])
        overall[f"{metric}_settings"] = settings
    return overall, each


def _bleu(responses: Sequence[str], references: Sequence[str]) -> tuple[float, list[float], str]:
    from sacrebleu.metrics.bleu import BLEU

    corpus = BLEU()
    sentence = BLEU(effective_order=True)  # else a text of fewer than four words scores 0
    score = corpus.corpus_score(list(responses), [list(references)]).score
    pairs = zip(responses, references, strict=True)
    each = [sentence.sentence_score(response, [reference]).score for response, reference in pairs]
    return score, each, str(corpus.get_signature())


def _rouge_l(responses: Sequence[str], references: Sequence[str], _: str) -> tuple[list[float], str]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = zip(responses, references, strict=True)
    each = [100 * scorer.score(reference, response)["rougeL"].fmeasure for response, reference in pairs]
    return each, "rouge-score rougeL F1, stemmed"


def _bert_score(responses: Sequence[str], references: Sequence[str], model: str) -> tuple[list[float], str]:
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=model, num_layers=_layers_of(model))
    # The library fails on an empty text, which scores 0.
    pairs = enumerate(zip(responses, references, strict=True))
    scorable = [index for index, pair in pairs if all(map(str.strip, pair))]
    each = [0.0] * len(responses)
    if scorable:
        _, _, f1 = scorer.score(
            [responses[index] for index in scorable], [references[index] for index in scorable]
        )
        for index, value in zip(scorable, f1, strict=True):
            each[index] = 100 * float(value)
    return each, f"bert-score F1, {scorer.hash}; an empty response scores 0"


def _layers_of(model: str) -> int:
    """The layer that bert-score finds best, for the models on its list. Of any other model the last."""
    from bert_score.utils import model2layers
    from transformers import AutoConfig

    return model2layers.get(model) or AutoConfig.from_pretrained(model).num_hidden_layers
