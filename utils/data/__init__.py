"""From rows on disk to examples, tokens and batches.

Reading rows imports neither torch, transformers nor datasets.
"""
