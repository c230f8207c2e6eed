"""The auditors' portal: static pages beside the evidence, for people who sample it."""
