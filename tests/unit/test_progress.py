"""How far a run is, on a terminal and elsewhere."""

import io

from rich.console import Console
from rich.progress import Progress as Bars
from structlog.testing import capture_logs

from sync.progress import BarProgress, LineProgress, show_progress


def test_lines_name_package_and_realm() -> None:
    with capture_logs() as lines, show_progress(package="shop", realm="demo") as progress:
        assert isinstance(progress, LineProgress)
        progress.stage("people", 25_000)
        for _ in range(50):
            progress.advance(500)
    assert [(line["event"], line.get("done")) for line in lines] == [
        ("sync_stage", None),
        ("sync_progress", 10_000),
        ("sync_progress", 20_000),
    ]
    assert all((line["package"], line["realm"]) == ("shop", "demo") for line in lines)


def test_a_bar_for_each_stage() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Bars(console=console) as bars:
        progress = BarProgress(bars)
        progress.stage("groups", 3)
        progress.advance()
        progress.stage("people", None)
        progress.advance(70)
        progress.stage("sessions", 0)
        shown = [(task.description, task.completed, task.total) for task in bars.tasks]
    assert shown == [("connecting", 1, 1), ("groups", 1, 1), ("people", 70, 70), ("sessions", 0, 0)]
