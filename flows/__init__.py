"""Flows and commands: what runs, in which order, and how people start it."""
