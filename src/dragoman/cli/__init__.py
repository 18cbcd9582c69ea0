"""The command line: parse, call, print, exit code."""

from dragoman.cli.app import main

__all__ = ["main"]
