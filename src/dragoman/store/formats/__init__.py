"""File formats: what is read, and what is written back byte by byte."""
