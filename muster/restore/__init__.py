"""The restore drill's domain: its plan section, its observations, its checks."""
