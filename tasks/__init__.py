"""The work itself: plain functions from tables and specs to values."""
