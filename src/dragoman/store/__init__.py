"""Files and databases. No torch."""
