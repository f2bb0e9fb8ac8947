"""Processes that are found by a file lock, and the access control of our servers."""
