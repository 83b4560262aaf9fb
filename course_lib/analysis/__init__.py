"""Results on disk, statistics, comparison of many runs, and the paper's claims."""
