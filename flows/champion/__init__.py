"""The champion and its changes: promoted by the gate or a person, rolled back; and pending versions."""
