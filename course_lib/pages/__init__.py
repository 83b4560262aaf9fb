"""Notebooks as they are run, handed out, and made into pages; checks of the machine."""
