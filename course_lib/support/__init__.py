"""What the rest of the course stands on: checks of values, files, devices, randomness, progress."""
