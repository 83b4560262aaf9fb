"""A course on data augmentation that rebuilds, measures and questions Wang & Perez (2017).

paper       what the paper says: tables, sizes
models      SmallNet, AugNet, CycleGAN's networks
losses      every loss beside its equation
arms        the augmentations, and the registry that names them
training    Recipe, train_step, fit, evaluate
study       many runs, each done once
images      tasks and their images: Tiny ImageNet, MNIST, drawn stand-ins, your own
analysis    results, statistics, the plan of the study and its verdicts
show        figures, explorers, source with its address
pages       notebooks run, handed out, made into pages
support     validation, files, devices, randomness, progress, processes, download
"""

__version__ = "0.1.0"
