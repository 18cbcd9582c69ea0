"""The server: one gateway that existing clients already speak to, and an engine of its own process for each bundle.

The gateway (no torch) authenticates, reads, queues, batches and answers; the engine (`worker`) holds the model and is
restarted when it ends. What a request asks of the model is a list of `work.Task`s, whatever its dialect.
"""
