"""The composition root: settings to running processes, and operator commands."""
