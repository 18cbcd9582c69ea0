"""How alike two segments are."""
