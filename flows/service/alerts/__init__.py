"""Receivers of alerts get a message about what needs a person: once, all that is new in one message."""
