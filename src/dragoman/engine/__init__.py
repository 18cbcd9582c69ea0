"""Where torch lives: loading, batching, losses, the one training loop, decoding."""

import logging
import os

# Threads of GNU OpenMP that wait for each other keep their cores busy for long. Where another program needs one of these
# cores, two threads then do less than a tenth of what one does alone. A short wait costs nothing that can be measured
# (benchmarks/README.md). It is read when torch is loaded; who has chosen a policy keeps it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# PEFT loads bitsandbytes wherever it is installed, which complains of an optional kernel whether or not it is needed.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
