"""The commands: arguments, options, help and examples; the files follow the help's groups, as those of show/ do."""
