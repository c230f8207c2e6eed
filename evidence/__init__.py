"""Evidence: statements, envelopes, bundles, stores, the verifier. Imports nothing else of Muster."""
