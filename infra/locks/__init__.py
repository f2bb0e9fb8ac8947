"""One process at a time: a file's lock on one machine, a lease in the ledger across machines."""
