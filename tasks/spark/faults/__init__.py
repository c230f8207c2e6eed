"""What a drill does to a cluster of its own, a file for each means: signals, files, resources, the network."""
