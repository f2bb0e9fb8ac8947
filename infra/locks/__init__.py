"""How processes exclude each other: a file's lock within one machine, a lease in the ledger across machines.

| what is excluded | by |
|---|---|
| a few lines that create or replace something | `filelock.FileLock` beside it: the others wait |
| a command's work on a pipeline, within one machine | `file_lock.hold_file_lock`: the others wait and name the holder |
| a second process of a kind, such as a home's servers | `processes.process`: it ends, or its command finds the first |
| a command's work on a pipeline, across machines | `lease.hold_lease`: expires when its holder sends no heartbeat |

The system drops a file's lock however its process ends, so none is ever taken over from a living process. A lease can
be taken over, so every write under it has to show its token.
"""
