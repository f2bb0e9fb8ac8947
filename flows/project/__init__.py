"""Commands for a project: create one, check it, show its state, back it up."""
