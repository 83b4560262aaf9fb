"""Augmentations that are made once, before training: N images in, N altered copies out."""
