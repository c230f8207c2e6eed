"""An emulated wide-area link between two sides, where the kernel has no netem and the user may have no root."""
