"""Loss and accuracy by epoch, drawn into a file."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from wengert.errors import ArgumentError
from wengert.train.loop import Epoch

FORMATS = (".png", ".svg", ".pdf")


def check_plot_path(path: Path) -> None:
    """Find out before the training whether a plot can be written after it.

    Raises
    ------
    ArgumentError : matplotlib is missing, the ending names no format, or there is no folder.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ArgumentError(
            "--plot draws with matplotlib, which is not installed",
            hint='install it with: pip install "wengert[train]"',
            location="",
        )
    if path.suffix.lower() not in FORMATS:
        raise ArgumentError(
            f"--plot: the file's name must end in {', '.join(FORMATS)}, got {str(path)!r}",
            hint=f"for instance {path.stem or 'training'}.png",
            location="",
        )
    if not path.parent.is_dir() or path.is_dir():
        raise ArgumentError(
            f"--plot: cannot write {str(path)!r}: "
            + ("it is a folder" if path.is_dir() else f"there is no folder {str(path.parent)!r}"),
            hint="name a file in a folder that exists",
            location="",
        )


def plot(path: Path, title: str, epochs: Sequence[Epoch]) -> None:
    """Draw loss and accuracy by epoch into a file; its ending decides the format.

    Raises
    ------
    ArgumentError : the file cannot be written.
    """
    # Figure without pyplot: nothing global, and no display is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    losses, accuracies = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    losses.plot(numbers, [epoch.loss for epoch in epochs], marker=".", color="tab:blue")
    losses.set(xlabel="epoch", ylabel="mean loss while training (nats)", yscale="log")
    accuracies.plot(
        numbers, [100 * e.train_accuracy for e in epochs], marker=".", label="while training"
    )
    accuracies.plot(numbers, [100 * e.test_accuracy for e in epochs], marker=".", label="held out")
    accuracies.set(xlabel="epoch", ylabel="accuracy (%)")
    accuracies.legend(loc="lower right")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ArgumentError(
            f"--plot: cannot write {str(path)!r} ({error.strerror})", location=""
        ) from error
