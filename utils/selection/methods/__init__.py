"""The order in which a growing budget takes rows: S2L, and what it is compared with."""
