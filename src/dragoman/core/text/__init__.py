"""Languages, scripts, normal forms, sentences, numbers."""
