"""Ways in which clients find the server that serves: one file each, with `Spec` and `open_route`."""
