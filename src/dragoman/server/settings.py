"""The limits of a server. Each has one name here, an option of `dragoman serve`, and a line in docs/serve.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds memory and waiting. Times in seconds, lengths in characters unless said."""

    # requests
    body: int = 1 << 20  # bytes of a request
    file: int = 32 << 20  # bytes of a request with a file
    body_time: float = 30.0  # in which a body must have arrived
    texts: int = 1_000  # in one request
    characters: int = 100_000  # of all texts of one request
    in_flight: int = 512  # requests at once; more are shed unread
    requests_per_minute: int = 0  # of a key that has no rate of its own; 0 = no bound
    # the queue of an engine
    queue: int = 4_000  # texts that wait
    wait: float = 10.0  # the longest wait that a request is let in to, as far as it can be foretold: what clients wait
    times: float = 0.0  # instead: so many times what the same request takes when nobody else asks; 0 = by `wait`
    window: float = 0.005  # that a batch waits for company at least, where there was some before; 0 = never
    batch: int = 64  # texts in a batch
    batch_characters: int = 20_000  # texts times the longest of them
    grace: float = 3.0  # for which an answer that nobody waits for any more is still made: a retry takes it up
    patience: float = 300.0  # that one batch may take
    cache: int = 64 << 20  # bytes of answers that are kept; 0 = none
    # documents; evaluations of quality are bounded likewise
    documents: int = 64  # that wait or are translated; evaluations that are held
    document_bytes: int = 256 << 20  # of all that are held, those that nobody has fetched yet among them
    document_time: float = 3_600.0  # for which a translated document that nobody fetches is kept
    drain: float = 30.0  # that requests in flight have to end, once the server is told to stop
