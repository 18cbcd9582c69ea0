"""Where torch lives: loading, batching, losses, the one training loop, decoding."""
