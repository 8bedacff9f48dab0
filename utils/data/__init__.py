"""From rows to batches. `settings` checks what a config says of them. `rows` opens any container by number: `json_rows` and
`csv_rows` over `text_rows`, and `dataset_rows`; `text_files` says what is no UTF-8, `values` what text a value is. `pool`
reads rows as examples (`formats`), `templates` turn an example into prompt and response, `tokenization` stores a pool's
tokens once for all stages, `truncation` says what was cut off them, `batching` pads and groups them; `synthetic` makes the
quickstart's pool and `small_tokenizer` its tokenizer. Reading rows imports no torch, transformers or datasets."""
