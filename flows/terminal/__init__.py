"""What the `backprop` command prints, a module a subcommand."""
