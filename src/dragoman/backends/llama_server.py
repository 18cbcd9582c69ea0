"""llama.cpp: its `llama-server`, started as a process of our own with a GGUF file, and asked like any other server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from dragoman.backends.url import Url
from dragoman.engine.load import Shell
from dragoman.errors import ModelError, ResourceError

PROGRAM = "DRAGOMAN_LLAMA_SERVER"  # the environment variable with the program's path, where it is not on PATH
_SLOTS = 4  # prompts that it works on at once; each has its own context
_START = 120.0  # seconds until it must answer
_MAX_CONTEXT = (
    4096  # tokens of one prompt with its answer: the cache of the whole context of some models fills any memory
)


def program() -> str | None:
    """The path of `llama-server`; None where it is not on this machine."""
    return os.environ.get(PROGRAM) or shutil.which("llama-server")


class LlamaServer(Url):
    """See `core.ports.Backend`. The process ends with `close`, or with this one."""

    def __init__(self, shell: Shell, file: Path, *, threads: int | None = None) -> None:
        from dragoman.engine.device import detect

        found = program()
        if found is None:
            raise ModelError(
                "the backend llama.cpp needs its program `llama-server` on PATH (or its path in "
                f"{PROGRAM}). It comes with llama.cpp; a server that runs already is a backend by its URL."
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  - lives as long as the process
        context = min(shell.context, _MAX_CONTEXT) * _SLOTS
        options = ["--host", "127.0.0.1", "--port", str(port), "--ctx-size", str(context), "--parallel", str(_SLOTS)]
        options += ["--threads", str(detect(threads).threads), "--no-webui", "--offline"]
        self.process = subprocess.Popen(
            [found, "--model", str(file), *options], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            self._wait(port)
            super().__init__(shell, f"http://127.0.0.1:{port}", name="llama.cpp", at_once=_SLOTS)
        except BaseException:
            self._end()
            raise

    def _wait(self, port: int) -> None:
        import httpx2

        until = time.monotonic() + _START
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                if httpx2.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.1)
        self._log.seek(0)
        told = self._log.read().decode(errors="replace").strip().split("\n")[-1]
        raise ResourceError(f"llama-server does not answer; the last that it said: {told[:300] or 'nothing'}")

    def close(self) -> None:
        super().close()
        self._end()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    def __del__(self) -> None:
        if hasattr(self, "process") and self.process.poll() is None:
            self.process.kill()
