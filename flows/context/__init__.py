"""What flows and commands share: an opened pipeline, locks, retries, events, timings, the commands in messages."""
