"""The notary's side of an installation: its policy, its keys, and what it enters."""
