"""A course on data augmentation that rebuilds, measures and questions Wang & Perez (2017)."""

__version__ = "0.1.0"
