"""What a YAML may contain (`schema`), how it is read and overridden (`load`), a YAML that stands for many runs (`arms`), the
released code's YAMLs (`released`), the settings of transformers' Trainer (`train_args`), what follows from a config alone
(`counts`), what every script's command line shares (`command_line`, `flags`), keeping a key out of all that is recorded
(`wandb_key`), what is wrong with a YAML in words (`problems`), and the names that were probably meant (`names`,
`train_arg_names`). Imports neither torch nor transformers."""
