"""The embedded model pair of SpecChat and the code that builds it."""
