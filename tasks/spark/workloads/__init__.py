"""Jobs that a stress drill runs, one file each: what it does, and what its answer is."""
