"""Release packages: everything an auditor samples of one period, sealed as one file that needs nothing else."""
