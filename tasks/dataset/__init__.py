"""Rows before any model: schema, typing, identity, parts."""
