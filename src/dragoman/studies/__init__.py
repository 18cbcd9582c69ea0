"""Controlled experiments: several runs that differ in named things and share everything else. Each is one command."""
