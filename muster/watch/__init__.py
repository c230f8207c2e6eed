"""The watch: looks at every plan against its cadence, tells people what is wrong, and tells them when it is over."""
