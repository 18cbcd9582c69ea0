"""`dragoman serve` and `dragoman keys`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.options import Debug, Json, taking
from dragoman.cli.session import Session, session

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway
    from dragoman.server.trials import Wanted

keys_app = typer.Typer(help="Who may ask a server. A key is shown once, when it is made.", no_args_is_help=True)
State = Annotated[
    Path | None,
    typer.Option("--state", help="The server's folder: keys, glossaries, memory, aliases; default: RUN/server."),
]
KeyRun = Annotated[Path, typer.Option("--run", help="The run that is served; its folder `server` holds the keys.")]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Options:
    """The arguments and options of `serve`."""

    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]RUN", help="Runs, bundles or models; the first answers by default.", show_default=False
        ),
    ] = None
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0: any free one.")] = 5000
    state: State = None
    aliases: Annotated[
        Path | None,
        typer.Option("--aliases", metavar="FILE", help="The aliases to follow; default: STATE/aliases.json."),
    ] = None
    keys: Annotated[
        bool | None,
        typer.Option(
            "--keys/--no-keys", help="Answer keys alone; default: once there are some, or beyond this machine."
        ),
    ] = None
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads of each engine.")] = None
    certificate: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="The certificate, PEM.")] = None
    key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, PEM.")] = None
    proxies: Annotated[
        str, typer.Option("--proxies", help="Addresses of proxies whose X-Forwarded-For is believed, with commas.")
    ] = ""
    queue: Annotated[int, typer.Option("--queue", min=1, help="Texts that may wait for an engine.")] = 4_000
    wait: Annotated[
        str,
        typer.Option(
            "--wait",
            metavar="SECONDS|TIMESx",
            help="The longest wait that is let in to; 1.8x: so many times what a request takes alone.",
        ),
    ] = "10"
    batch: Annotated[int, typer.Option("--batch", min=1, help="Texts in one batch.")] = 64
    cache: Annotated[int, typer.Option("--cache", min=0, help="MiB of answers that are kept; 0: none.")] = 64
    shadow: Annotated[
        str | None,
        typer.Option(
            "--shadow",
            metavar="MODEL",
            help="An alias or model that translates a share too, for figures; nobody gets it.",
        ),
    ] = None
    canary: Annotated[
        str | None,
        typer.Option(
            "--canary", metavar="MODEL", help="An alias or model that a share of users gets, until it is worse."
        ),
    ] = None
    share: Annotated[
        float, typer.Option("--share", min=0, max=1, help="Of requests (--shadow) or of users (--canary).")
    ] = 0.05
    null: Annotated[
        str | None, typer.Option("--null", metavar="PAIR", help="No model: every text comes back. For load tests.")
    ] = None
    null_delay: Annotated[float, typer.Option("--null-delay", min=0, help="Seconds that it takes for a batch.")] = 0.0
    training: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="A folder of training runs that the page shows.", file_okay=False),
    ] = None
    json: Json = False
    debug: Debug = False

    @property
    def named(self) -> list[tuple[str | None, Path]]:
        """The names and folders of what is served."""
        return [_named(one) for one in self.runs or []]

    @property
    def trial(self) -> Wanted | None:
        """The model that is tried beside the champion. Raises ArgumentError where there are two."""
        from dragoman.errors import ArgumentError
        from dragoman.server.trials import Wanted

        if self.shadow and self.canary:
            raise ArgumentError("--shadow and --canary exclude each other: first the one, then the other.")
        name = self.shadow or self.canary
        return Wanted("shadow" if self.shadow else "canary", name, self.share) if name else None

    @property
    def waiting(self) -> tuple[float, float]:
        """Seconds, and times (0 where seconds were given), that a request may wait. Raises ArgumentError."""
        from dragoman.errors import ArgumentError
        from dragoman.server.settings import Limits

        number, times = self.wait.removesuffix("x"), self.wait.endswith("x")
        least = 1.0 if times else 0.05
        if not number.replace(".", "", 1).isdecimal() or float(number) < least:
            raise ArgumentError(
                f"--wait {self.wait}: give seconds, 0.05 or more, or times the time that a request takes alone, 1x or more."
            )
        return (Limits().wait, float(number)) if times else (float(number), 0.0)

    @property
    def open(self) -> bool:
        """Whether other machines can reach it."""
        return self.host not in _LOOPBACK


@taking(Options)
def serve(given: Options) -> None:
    """Serve over HTTP: DeepL, LibreTranslate, OpenAI. Ctrl-C lets what is in flight end, and stops."""
    with session(as_json=given.json, debug=given.debug, resumes=False) as here:
        from dragoman.errors import ResourceError

        try:
            from dragoman.server.run import Place, run
        except ImportError as error:
            raise ResourceError(f"serving needs more packages: pip install 'dragoman[serve]' ({error}).") from None
        gateway, titles = _gateway(given, here)

        def started(number: int) -> None:
            scheme = "http" if given.certificate is None else "https"
            url = f"{scheme}://{'localhost' if given.host in ('0.0.0.0', '::') else given.host}:{number}"
            here.result(f"serving {titles} at {url}", event="serving", url=url)

        run(gateway, Place(given.host, given.port, given.certificate, given.key, given.proxies), started)


def _gateway(given: Options, here: Session) -> tuple[Gateway, str]:
    """The server with its models, and what they are called. Raises DataError or RecipeError for what cannot be served."""
    from dragoman.errors import DataError, RecipeError
    from dragoman.server.gateway import Gateway, NullModel
    from dragoman.server.settings import Limits
    from dragoman.store.run.aliases import target

    if given.training is not None and not given.training.is_dir():
        raise DataError(f"{given.training}: is not a folder. --runs needs one that holds the folders of runs.")
    if not given.named and given.null is None and given.aliases is None:
        raise DataError("nothing to serve: name a run, or a file of --aliases.")
    folder = given.state or (_state_of(given.named[0][1]) if given.named else None)
    if folder is None:
        raise DataError("--null and --aliases alone need a folder for keys and memory: name it with --state.")
    here.listener.say("checking the models")
    models = [target(path, name) for name, path in given.named]
    stand_ins = [NullModel(directions=(given.null,), delay=given.null_delay)] if given.null is not None else []
    wait, times = given.waiting
    gateway = Gateway(
        folder,
        limits=Limits(queue=given.queue, wait=wait, times=times, batch=given.batch, cache=given.cache << 20),
        threads=given.threads,
        must_have_key=bool(given.keys) or (given.keys is None and given.open),
        no_keys=given.keys is False,
        secure=given.certificate is not None,
        aliases=given.aliases,
        runs=given.training,
        models=[*models, *stand_ins],
        trial=given.trial,
    )
    if given.open and given.keys is None and not gateway.keys:
        gateway.keys.close()
        raise RecipeError(
            f"{given.host} can be reached from other machines, and there is no key yet: make one with `dragoman keys create "
            "NAME --scope translate`, or let everybody in with --no-keys."
        )
    names = [*(one.name for one in models), *(one.name for one in stand_ins)]
    return gateway, ", ".join(names) or "what the aliases say"


def _named(text: str) -> tuple[str | None, Path]:
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and not Path(text).exists() else (None, Path(text))


def _keys_folder(run: Path, state: Path | None) -> Path:
    return state or _state_of(run)


def _state_of(run: Path) -> Path:
    """Where keys and what a server is told lie, unless it is said: in the run. A bundle inside its run is written again by
    every deployment, so that they lie beside `deploy` there."""
    from dragoman.store.run.trained import whose

    return whose(run) / "server"


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.", show_default=False)],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="What it may do; again for more. `keys scopes` lists them.", show_default=False),
    ],
    run: KeyRun = Path(),
    state: State = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose memory and glossaries it uses.")] = "default",
    days: Annotated[float | None, typer.Option("--days", min=0.001, help="It expires after so many days.")] = None,
    characters: Annotated[
        int | None, typer.Option("--characters", min=1, help="Characters in a calendar month.")
    ] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, help="Requests in a minute.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a key. It is printed here, and never again."""
    with session(as_json=json, debug=debug) as here:
        from dragoman.server.keys import Keys

        table = Keys(_keys_folder(run, state))
        made = table.create(name, scope, tenant=tenant, days=days, characters=characters, rate=rate)
        table.close()
        here.result(made, event="key", name=name, key=made)


@keys_app.command(name="list")
def list_keys(run: KeyRun = Path(), state: State = None, json: Json = False, debug: Debug = False) -> None:
    """All keys: names, tenants, scopes, what they used; never the keys themselves."""
    with session(as_json=json, debug=debug) as here:
        from dragoman.server.keys import Keys

        table = Keys(_keys_folder(run, state))
        for one in table.list():
            who = one.principal
            end = "revoked" if one.revoked else f"until {one.expires}" if one.expires else "valid"
            limit = f" of {who.characters:,}" if who.characters else ""
            rights = " ".join(sorted(who.scopes))
            text = f"{who.id}  {who.name}  tenant {who.tenant}  {rights}  {end}  {one.used:,}{limit} characters"
            here.result(
                text,
                id=who.id,
                name=who.name,
                tenant=who.tenant,
                scopes=sorted(who.scopes),
                expires=one.expires,
                revoked=one.revoked,
                used=one.used,
                characters=who.characters,
            )
        table.close()


@keys_app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="Which key.", show_default=False)],
    run: KeyRun = Path(),
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Revoke a key; a running server refuses it from its next request on."""
    with session(as_json=json, debug=debug) as here:
        from dragoman.errors import DataError
        from dragoman.server.keys import Keys

        table = Keys(_keys_folder(run, state))
        count = table.revoke(name)
        table.close()
        if not count:
            raise DataError("there is no valid key of this name or id; `dragoman keys list` shows them.")
        here.result(f"revoked: {name}", event="revoked", name=name)


@keys_app.command()
def scopes() -> None:
    """What keys may be allowed to do."""
    with session() as here:
        from dragoman.server.keys import SCOPES

        for scope, text in SCOPES.items():
            here.result(f"{scope:10} {text}", scope=scope, allows=text)
