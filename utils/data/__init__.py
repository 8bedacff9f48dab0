"""From rows to batches: `pool` reads rows as examples (`formats`), `templates` turn an example into prompt and response,
`tokenization` stores a pool's tokens once for all stages, `batching` pads and groups them; `synthetic` makes the
quickstart's pool and `small_tokenizer` its tokenizer. Reading rows imports no torch, transformers or datasets."""
