"""What a YAML may contain (`schema`), how it is read and overridden (`load`), the released code's YAMLs (`released`),
and what every script's command line shares (`command_line`). Imports neither torch nor transformers."""
