"""The machinery behind every command: its session, screen, progress and failures."""
