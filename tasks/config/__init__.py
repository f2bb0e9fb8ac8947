"""A pipeline's file: its specification, where in it an error stands, the draft that `init` writes."""
