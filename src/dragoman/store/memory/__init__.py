"""Translation memory, glossary, retrieval."""
