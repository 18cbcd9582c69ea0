"""Prompts, tasks, instructions, terms: what a model reads."""
