"""A process that is known by the lock of a file, and who may connect to our servers."""
