"""What the verbs of a failover rehearsal are made of: probing, proving a fence, sampling lag, settling."""
