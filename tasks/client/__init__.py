"""The independent client of a failover rehearsal: a process that writes, reads, and writes down everything."""
