"""A person's commands around a project: begin one, check it, look at it, keep a copy of it."""
