"""From a table and a column to predict to a running ML system.

The four packages are the folders of the same names at the top of the repository; here are links to them, so that
they are installed, imported, typed and measured as `treadle.flows`, `treadle.tasks`, `treadle.expectations` and
`treadle.infra`. A person's own `flows/` or `tasks.py` is never taken for ours.
"""
