"""What a YAML may contain (`schema`), how it is read and overridden (`load`), a YAML that stands for many runs (`arms`), the
released code's YAMLs (`released`), what follows from a config and a number of rows alone (`counts`), what every script's
command line shares (`command_line`), keeping a key out of all that is recorded (`wandb_key`), and looking up a name
(`names`).
Imports neither torch nor transformers."""
