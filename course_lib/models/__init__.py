"""The networks of the paper: the classifier, and later AugNet and CycleGAN."""
