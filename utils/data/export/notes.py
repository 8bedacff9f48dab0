"""What the README beside each form of the rows says: how to use it, and which tokens are trained on.

It was read in the sources of TRL 1.16, axolotl 0.19 and LLaMA-Factory (commit ff6d4d1). `filled` puts the
words of a run into the braces.
"""

from ...config.names import is_chat_template

TRL_ANSWERED_ONCE = """\
`trl sft --config {folder}/trl.yml`, with the other settings of your training in that file.

## Which tokens are trained on

All that the chat template writes behind the generation prompt: the answer, its end-of-turn token and, with
most templates, a newline behind it.

## Where that differs from what S2L scored

{scored}

{chat}
- That newline is trained on. S2L scores none.
{trl_length}
"""

TRL_ANSWERED_OFTEN = """\
`trl sft --config {folder}/trl.yml`, with the other settings of your training in that file.

## Which tokens are trained on

With `assistant_only_loss: true`, what lies between the generation marks of the chat template. TRL has such
templates for several families, and stops where it has none for a model: then name a template with such marks
in `chat_template_path`. Llama 3: each answer and its `<|eot_id|>`. Qwen, Gemma and Phi 3: each answer, its
end-of-turn token and the newline behind it. Without that key TRL trains on every token, the prompt's too.

## Where that differs from what S2L scored

{scored}

{chat}
{by_role}- That newline is trained on. S2L scores none.
- Of Qwen 2.5 the newline in front of an answer is trained on too. Of Qwen 3 a `<think>` block is.
{trl_length}
"""

TRL_RENDERED = """\
`trl sft --config {folder}/trl.yml`, with the other settings of your training in that file.

## Which tokens are trained on

The completion, and the end-of-sequence token that TRL adds where the completion does not end in it.

## Where that differs from what S2L scored

{scored}

{trl_rendered}
- Where the end of the prompt and the start of the response would merge, TRL trains from the first token
  that is another one than in the prompt alone. S2L scores from the token that crosses the seam, which may
  be a later one.
- A tokenizer that puts a special token behind every text puts a second end behind TRL's. S2L has one.
{trl_length}
"""

AXOLOTL_CHAT = """\
Paste `axolotl.yml` into the YAML of your training.

## Which tokens are trained on

Each turn whose `train` is true, and the first end-of-turn or end-of-sequence token at most three tokens
behind it. Not the newline behind that.

## Where that differs from what S2L scored

{scored}

{chat}
- Where the template's end-of-turn token is not the tokenizer's end-of-sequence token, as with a base model,
  the end is not trained on, and axolotl only warns: set `eot_tokens`.
{axolotl_length}
"""

AXOLOTL_RENDERED = """\
Paste `axolotl.yml` into the YAML of your training.

## Which tokens are trained on

The segments whose `label` is true: each answer and the special token that ends it. axolotl adds no special
token here, so those of this run are in the text: {special}. Write the files again for a model with other
ones.

## Where that differs from what S2L scored

{scored}

- The text is that of template `{template}`.
- axolotl tokenizes each segment by itself. S2L tokenizes a row as one text, so the tokens next to a seam
  may differ.
{axolotl_length}
"""

LLAMA_FACTORY_CHAT = """\
Put the keys of `llama_factory.yml` into the YAML of your training, and the name of the model's template for
`NAME`. `dataset_dir` leads to the `dataset_info.json` here. Or copy its entry and `train.jsonl` into a
folder of your own.

## Which tokens are trained on

All that the template writes for an answer. `llama3`: the answer and `<|eot_id|>`. `qwen`, `chatml`,
`gemma`, `phi`: also the newline behind the end-of-turn token. `alpaca`: the answer, the end-of-sequence
token and two newlines. Of several answers all are trained on, and with `mask_history: true` only the last.

## Where that differs from what S2L scored

{scored}

{chat}
{by_role}- Those newlines are trained on. S2L scores none.
- LLaMA-Factory's `alpaca` is another prompt than S2L's.
- It tokenizes each piece of a template by itself, so the tokens next to a seam may differ.
- A row longer than `cutoff_len` loses tokens of its prompt, of its answer, or of both. S2L cuts on the
  right.
- `qwen3` puts an empty `<think>` block in front of answers and trains on it. `qwen3_nothink` does not.
"""

OPENAI_CHAT = """\
Upload `train.jsonl` as a fine-tuning file of OpenAI, or of another provider that reads its chat format.
OpenAI asks for 10 rows at least.

## Which tokens are trained on

The provider decides. By the words of those who say it, the messages of the assistant whose `weight` is not 0.

## Where that differs from what S2L scored

{scored}

{chat}
- Tokenizer, chat template and length limit are the provider's.
- `parallel_tool_calls` of a row is not written: S2L reads no such column. `../subset.jsonl` has it.
"""

_PARTS = {
    "chat": """\
- The prompt is what the model's chat template makes of the messages. S2L reads the prompt of template
  `{template}`. A turn of the user is the instruction and, after a blank line, the input, without the words
  that `{template}` puts around them.
- An answer ends in the chat template's end-of-turn token, where S2L has the end-of-sequence token.""",
    "own_chat": """\
- S2L rendered the rows by the chat template `{template}` of this run's model. With another model, or another
  template in this stack, the text is another one.""",
    "trl_rendered": """\
- The text is that of template `{template}`. With the same tokenizer the tokens are the same.""",
    "own_trl_rendered": """\
- The text is that of chat template `{template}`, and S2L reads no other token. Behind an answer that ends in
  another token than the tokenizer's end-of-sequence token TRL puts that, too, and trains on it. A tokenizer
  that puts a beginning-of-sequence token in front of every text does so in TRL, also where the template
  writes none.""",
    "trl_length": """\
- TRL cuts a row behind `max_length` tokens, as S2L does, and drops a row of which no token is left to train
  on, without a word. Compare its number of rows with the one above.""",
    "axolotl_length": """\
- axolotl drops a row that is longer than `sequence_len`. With `excess_length_strategy: truncate` in the
  config it cuts the row instead, as S2L does.""",
}


def filled(notes: str, words: dict[str, str]) -> str:
    """The notes of a form with the words of a run in them: folder, template, scored, special, by_role."""
    parts = {name: part.format(**words) for name, part in _PARTS.items()}
    if is_chat_template(words["template"]):
        parts |= {"chat": parts["own_chat"], "trl_rendered": parts["own_trl_rendered"]}
    return notes.format(**words, **parts)
