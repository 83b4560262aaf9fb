"""Results on disk, statistics, comparison of many runs, the plan of the study and its verdicts."""
