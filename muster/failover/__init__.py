"""The failover drill's domain: its plan section, its observations, its checker, its checks."""
