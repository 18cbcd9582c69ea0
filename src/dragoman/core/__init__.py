"""Pure code: no torch, no network, no files."""
