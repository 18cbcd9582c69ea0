"""The figures of a server, in Prometheus' form. Labels come from closed sets; none holds an address, a key or a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dragoman.core.answers import Answer
from dragoman.store.memory.retrieval import band

T = TypeVar("T", Counter, Gauge, Histogram)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One registry for each server, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"dragoman_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"dragoman_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"dragoman_{name}", text, labels, buckets=buckets, registry=registry)

        self.requests = counter("requests", "Requests answered", "dialect", "operation", "status_class")
        self.duration = histogram(
            "request_duration_seconds", "From the first byte to the last", _SECONDS, "dialect", "operation"
        )
        self.in_flight = gauge("in_flight", "Requests being answered")
        self.queue_depth = gauge("queue_depth", "Texts that wait for the engine", "model")
        self.queue_wait = histogram("queue_wait_seconds", "Wait of a text before its batch", _SECONDS, "model")
        self.batch_size = histogram("batch_size", "Texts in a batch", (1, 2, 4, 8, 16, 32, 64, 128), "model")
        self.batch_seconds = histogram("batch_seconds", "Time of a batch in the engine", _SECONDS, "model")
        self.characters = counter("source_characters", "Characters of source text", "dialect", "pair")
        self.tokens = counter("generated_tokens", "Tokens that the model wrote", "model")
        self.engine_up = gauge("engine_up", "1 while the engine answers", "model")
        self.restarts = counter("engine_restarts", "Times that the engine was started again", "model")
        self.shed = counter("shed", "Requests refused for load", "reason")
        self.cancelled = counter("cancelled", "Texts dropped because nobody waited", "model")
        self.coalesced = counter("coalesced", "Texts that shared another's answer", "model")
        self.cache_hits = counter("cache_hits", "Texts answered from the cache", "model")
        self.cache_bytes = gauge("cache_bytes", "Size of the answers kept")
        self.tm_hits = counter("tm_hits", "Texts that the memory helped, by band; exact ones given back", "band")
        self.terms = counter("glossary_terms", "Terms of the glossary in the sources", "applied")
        self.confidence = histogram("qe_score", "Confidence of translations", tuple(range(10, 101, 10)), "pair")
        self.flags = counter("output_flags", "Doubts about translations", "kind")
        self.screened = counter("screened", "Texts that a rule of screening spoke of", "rule", "action")
        self.failures = counter("failures", "Texts that could not be translated", "model")
        self.feedback = counter("feedback", "What users said of translations", "verdict")
        self.drift = gauge("drift_score", "Effect of a drift test on the latest window", "model", "pair", "feature")
        self.drifted = gauge(
            "drifted_features", "Drift tests of the latest window that found something", "model", "pair"
        )
        self.hter = gauge("post_edit_hter", "HTER of the post-edits in the window's days", "model", "pair")
        self.replay = gauge("replay_chrf", "chrF2++ of the latest replay of the held-out set", "model", "pair")
        self.auth_failures = counter("auth_failures", "Requests without the right", "reason")
        self.model_info = gauge("model_info", "1 for each model that is loaded", "model", "version", "alias")

        self._children: dict[tuple[Any, ...], Any] = {}

    def of(self, metric: T, *labels: str) -> T:
        """`metric.labels(...)`, remembered: to look labels up costs more than to count."""
        found = self._children.get((metric, labels))
        if found is None:
            found = self._children[metric, labels] = metric.labels(*labels)
        return cast(T, found)

    def request(self, dialect: str, operation: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        self.of(self.requests, dialect, operation, f"{status // 100}xx").inc()
        self.of(self.duration, dialect, operation).observe(seconds)

    def answered(self, answers: Iterable[Answer], model: str, pair: str) -> None:
        """What the answers of one request rest on, and what speaks against them."""
        for answer in answers:
            if answer.tokens:
                self.of(self.tokens, model).inc(answer.tokens)
            exact = answer.origin == "memory"
            if exact or answer.examples:  # a match that no prompt held helped nobody
                self.tm_hits.labels("exact" if exact else band(answer.matches[0].match)).inc()
            if answer.terms:
                missed = "term" in answer.flags
                self.terms.labels("no" if missed else "yes").inc(len(answer.terms))
            if answer.confidence is not None:
                self.of(self.confidence, pair).observe(answer.confidence)
            for flag in answer.flags:
                self.flags.labels(flag).inc()

    def noted(self, tally: Mapping[tuple[str, str], int]) -> None:
        """What screening found."""
        for what, texts in tally.items():
            self.screened.labels(*what).inc(texts)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class EngineWatcher:
    """`scheduler.Watcher` of one model."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._coalesced = metrics.coalesced.labels(model)
        self._cached = metrics.cache_hits.labels(model)
        self._cancelled = metrics.cancelled.labels(model)
        self._size, self._wait = metrics.batch_size.labels(model), metrics.queue_wait.labels(model)
        self._seconds = metrics.batch_seconds.labels(model)

    def coalesced(self, count: int) -> None:
        self._coalesced.inc(count)

    def cached(self, count: int) -> None:
        self._cached.inc(count)

    def cancelled(self, count: int) -> None:
        self._cancelled.inc(count)

    def batch(self, texts: int, waited: Sequence[float], seconds: float) -> None:
        self._size.observe(texts)
        self._seconds.observe(seconds)
        for one in waited:
            self._wait.observe(one)
