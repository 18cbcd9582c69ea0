"""`dragoman push`: a deployed bundle to a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json, Quiet
from dragoman.cli.session import session


def push(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run that was deployed, or a bundle.", show_default=False)
    ],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub.", show_default=False)],
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it; else it is private.")] = False,
    memory: Annotated[
        bool, typer.Option("--with-memory", help="Memory and glossary go along; else your texts stay here.")
    ] = False,
    gate: Annotated[
        bool, typer.Option("--despite-gate", help="Push what passed, though other formats of the deployment failed.")
    ] = False,
    licence: Annotated[
        bool, typer.Option("--licence-allows", help="You have read the base's licence: its weights may be passed on.")
    ] = False,
    message: Annotated[str, typer.Option("--message", help="Of the commit.")] = "",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Send the bundle with its card to a hub, in one commit. The key is HF_TOKEN or that of `hf auth login`."""
    with session(as_json=json, quiet=quiet, debug=debug, resumes=False) as here:
        from dragoman.store.run.push import Permissions, bundle_to_push
        from dragoman.store.run.push import push as send

        allowed = Permissions(public=public, failed=gate, licence=licence, memory=memory)
        bundle = bundle_to_push(run, allowed)
        title = message or f"{bundle.facts.get('name', 'bundle')}: {', '.join(bundle.formats)}"
        done = send(bundle, name, allowed, title, here.listener)
        if done.left_out:
            here.listener.say(f"push: left out {', '.join(done.left_out)}: your own texts (--with-memory sends them)")
        here.result(
            f"pushed {done.files} files to {done.url} ({'private' if done.private else 'public'}, commit {done.commit[:12]})",
            event="pushed",
            repository=name,
            url=done.url,
            commit=done.commit,
            private=done.private,
            files=done.files,
            bytes=done.size,
            left_out=list(done.left_out),
        )
