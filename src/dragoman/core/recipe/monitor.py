"""The section `monitor`: what is kept of translations in use, and when they count as changed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dragoman.core.recipe.screen import Screen
from dragoman.core.recipe.train import Phase
from dragoman.core.recipe.values import PositiveCount, Section, Share, each_once, listed

_FIGURES = (
    "drift",
    "expected",
    "expected_loss",
    "segments",
    "lost",
    "edits",
    "hter",
    "edit_chrf",
    "approved",
    "rating",
    "replay_loss",
    "nights_missed",
)


class KeptTexts(Section):
    """Texts beside the numbers: off unless asked for."""

    days: PositiveCount = 30


class Window(Section):
    """The latest translations that are held against the held-out set."""

    segments: Annotated[int, Field(ge=200)] = 500
    days: Annotated[float, Field(gt=0)] = 7.0


class Channel(Section):
    """Where alerts go. `env:NAME` stands for what the environment variable NAME holds, so that no secret is in the recipe."""

    kind: Literal["slack", "pagerduty", "email", "webhook", "alertmanager"]
    to: str  # a URL; of email an address; of pagerduty the routing key
    server: str | None = None  # of email: host or host:port; of pagerduty another address of its events
    sender: str | None = None  # of email
    secret: str | None = None  # of webhook: signs the body (HMAC-SHA-256); of email: user:password

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> Self:
        if self.kind == "email" and not (self.server and self.sender):
            raise ValueError("an email channel needs `server` and `sender`")
        is_url = self.kind in ("slack", "webhook", "alertmanager")
        if is_url and not self.to.startswith(("env:", "http://", "https://")):
            raise ValueError(f"`to` of a {self.kind} channel should be a URL that begins with http, or env:NAME")
        if self.sender and self.kind != "email":
            raise ValueError(f"`sender` means nothing to a {self.kind} channel")
        if self.secret and self.kind not in ("webhook", "email"):
            raise ValueError(f"`secret` means nothing to a {self.kind} channel")
        if self.server and self.kind not in ("pagerduty", "email"):
            raise ValueError(f"`server` means nothing to a {self.kind} channel")
        return self


class Rule(Section):
    """One alert: a figure of `dragoman monitor --json` in any direction, and its bound."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    # drift (tests that drifted), `drift FEATURE`, `now FEATURE`, or another of _FIGURES
    figure: str = "drift"
    above: float | None = None
    below: float | None = None
    looks: PositiveCount = 2  # looks in a row that must agree before it fires, and before it is over
    repeat: Annotated[float, Field(gt=0)] | None = 24.0  # hours after which one that goes on firing is told again
    severity: Literal["critical", "error", "warning", "info"] = "warning"
    channels: Annotated[list[str], BeforeValidator(listed)] = []  # default: all

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("a rule needs `above` or `below`")
        from dragoman.core.watch.features import NAMES  # here, for it reads the flags, and they the recipe

        kind, _, feature = self.figure.partition(" ")
        known = kind in ("drift", "now") and feature in (*NAMES, "domain", "discrepancy", "new_words")
        if not known and self.figure not in _FIGURES:
            raise ValueError(f"`figure`: '{self.figure}' is no figure of the monitor (docs/monitor.md)")
        return self


class FeedbackRules(Section):
    """Which post-edits are taken, and what becomes of them."""

    trusted: Annotated[list[str], BeforeValidator(listed)] = []  # users without a bound; the checks read theirs too
    approve: bool = False  # those of all others wait until `dragoman feedback accept`
    most: PositiveCount = 200  # of one user in 30 days; more wait
    failing: Share = 0.3  # share of a user's post-edits that fail, from which all of theirs are taken back
    test: Share = 0.1  # of the documents, that are never trained on


def _cron(schedule: str) -> str:
    from croniter import croniter

    if not croniter.is_valid(schedule):
        raise ValueError(f"'{schedule}' is no cron schedule, such as \"0 3 * * 1\"")
    return schedule


Cron = Annotated[str, AfterValidator(_cron)]  # in cron form, UTC: "0 3 * * 1" is Monday at three


class Nightly(Section):
    """The held-out set is translated again, as users would get it now."""

    schedule: Cron = "0 3 * * *"
    segments: Annotated[int, Field(ge=50)] = 200


class Refresh(Section):
    """When a run is trained again, on what, and what a challenger must not lose."""

    drift: bool = True  # any test of the champion's window that drifted
    edits: PositiveCount | None = 500  # accepted post-edits that no training has seen
    loss: Annotated[float, Field(gt=0)] | None = None  # chrF below the held-out set, the estimate's whole interval
    hter: Annotated[float, Field(gt=0)] | None = None  # of the post-edits in the window's days
    schedule: Cron | None = None
    cooldown: Annotated[float, Field(ge=0)] = 7.0  # days from one refresh to the next
    least: PositiveCount = 50  # new post-edits below which there is nothing to train on
    replay: Annotated[float, Field(ge=0)] = 8.0  # old training rows beside each post-edit (benchmarks/circle.py)
    train: Annotated[list[Phase], BeforeValidator(listed)] = []  # default: the run's last `sft`, at half its rate
    epochs: Annotated[float, Field(gt=0)] = 3.0  # of that default
    forgetting: Annotated[float, Field(ge=0)] = 1.0  # chrF2++ that may be lost on the frozen test set
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.05  # of the paired tests
    promote: bool = False  # at once where the gate is open; default: a person does
    registry: str | None = None  # URI of an MLflow registry that is told of each promotion: http://..., sqlite:///...


class Monitor(Section):
    ledger: str | None = None  # a file, or the URL of a data base; default: ledger.sqlite in the run
    days: PositiveCount = 90  # events older than this are added up by day and dropped
    size: PositiveCount = 500  # MB that a ledger may take; the oldest events go first
    texts: KeptTexts | None = None
    window: Window = Window()
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.01  # share of false findings among the findings
    price: Annotated[float, Field(ge=0)] | None = None  # of an hour of this machine, in any currency
    nightly: Nightly | None = None  # replay of the held-out set; {} = at three, 200 segments
    alerts: list[Rule] = []
    channels: dict[str, Channel] = {}
    feedback: FeedbackRules = FeedbackRules()
    refresh: Refresh = Refresh()
    screen: Screen | None = None  # what requests and answers are screened for; {} = flag all that is known

    @model_validator(mode="after")
    def _channels_are_there(self) -> Self:
        each_once([rule.name for rule in self.alerts])
        for rule in self.alerts:
            if unknown := [name for name in rule.channels if name not in self.channels]:
                raise ValueError(f"alerts: {rule.name}: there is no channel '{unknown[0]}' in `channels`")
        return self
