"""One self-contained HTML page, the model card, and comparisons between runs. All read folders only."""

from __future__ import annotations

from dragoman.core.scores.metrics import TITLES
from dragoman.report.card import write_card
from dragoman.report.comparison import Comparison, compare
from dragoman.report.deploy import bundle_card, deploy_plot, deploy_table
from dragoman.report.factsheet import write_factsheet
from dragoman.report.folders import read_outputs
from dragoman.report.help import help_table
from dragoman.report.multiple_choice import closed_table
from dragoman.report.page import render
from dragoman.report.tables import set_table
from dragoman.report.verdict import p_text, verdict

__all__ = [
    "TITLES",
    "Comparison",
    "bundle_card",
    "closed_table",
    "compare",
    "deploy_plot",
    "deploy_table",
    "help_table",
    "p_text",
    "read_outputs",
    "render",
    "set_table",
    "verdict",
    "write_card",
    "write_factsheet",
]
