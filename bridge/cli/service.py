"""The commands around the web service: `serve`, `migrate`, `check`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import load
from bridge.cli.outcome import FAILED, INCOMPLETE, tell
from bridge.cli.output import show_json, visible_lines

if TYPE_CHECKING:
    from bridge.keycloak.findings import Finding


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Instead of the host in `listen`.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of the port in `listen`.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
) -> None:
    """Run the web service: sign-in, callback, sign-out."""
    from bridge.web.server import run  # noqa: PLC0415 - heavy

    run(load(context), config=context.obj, host=host, port=port, workers=workers)


def migrate(context: typer.Context) -> None:
    """Bring the database to the schema of this version."""
    from bridge.storage.migrate import newest_revision, upgrade  # noqa: PLC0415 - heavy

    done = upgrade(load(context).database.url.get_secret_value())
    newer = f" It is newer than {newest_revision()} of this version, and was left as it is." if done.is_newer else ""
    typer.echo(f"The database is at schema {done.revision}.{newer}")
    if done.incomplete is not None:
        tell(done.incomplete)
        raise typer.Exit(INCOMPLETE)


def check(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Tell whether configuration, database and Keycloak are in order, and how to mend what is not."""
    import asyncio  # noqa: PLC0415 - heavy
    from dataclasses import asdict  # noqa: PLC0415 - only for this command

    from bridge.flows.check import run_check  # noqa: PLC0415 - heavy

    findings = asyncio.run(run_check(load(context)))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        _show_findings(findings)
    if any(not finding.ok for finding in findings):
        raise typer.Exit(FAILED)


def _show_findings(findings: "list[Finding]") -> None:
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.text import Text  # noqa: PLC0415 - heavy

    console = Console()
    for finding in findings:
        word, style = ("ok    ", "green") if finding.ok else ("not ok", "bold red")
        # A line is to be copied: it is never wrapped, and nothing in it is taken for markup.
        line = Text.assemble((word, style), f"  {finding.subject}: {visible_lines(finding.message)}")
        console.print(line, soft_wrap=True)
        if finding.mend is not None:
            console.print(Text(f"        {visible_lines(finding.mend)}"), soft_wrap=True)
