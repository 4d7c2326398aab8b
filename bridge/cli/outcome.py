"""How a command ends: an error becomes its sentence and hint on standard error, and an exit status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from bridge.cli.output import visible, visible_lines
from bridge.errors import BridgeError, ConfigurationError

DONE, FAILED, WRONG_USAGE, INCOMPLETE = 0, 1, 2, 3
"""Wrong usage is wrong configuration too; incomplete is also what is held until somebody looks at it."""
SEVERITY = (DONE, INCOMPLETE, FAILED, WRONG_USAGE)
"""From the mildest to the gravest, for a command that has several parts: `max(..., key=SEVERITY.index)`."""


def tell(error: BridgeError) -> int:
    """Write what happened and what mends it to standard error, and return the exit status."""
    typer.secho(visible_lines(error.message), fg="red", err=True)
    if error.hint:
        typer.echo(f"  {visible_lines(error.hint)}", err=True)
    for name, value in error.evidence.items():
        typer.echo(f"  {name}: {visible(str(value))}", err=True)
    return WRONG_USAGE if isinstance(error, ConfigurationError) else FAILED


@contextmanager
def told() -> Iterator[None]:
    """Tell an error of ours that leaves the block, and end the command with its exit status.

    Raises:
        typer.Exit: with that status.
    """
    try:
        yield
    except BridgeError as error:
        raise typer.Exit(tell(error)) from None


class TellingGroup(TyperGroup):
    """The outermost group: errors of the commands inside it are told. Ctrl-C ends with 130, as in every typer."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with told():
            return super().invoke(ctx)
