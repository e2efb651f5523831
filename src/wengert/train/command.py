"""`wengert train`: train a multilayer perceptron on labelled data and say how good it is."""

import argparse
import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from wengert.nn import mlp_init
from wengert.optim import adamw, cosine_decay
from wengert.train import data
from wengert.train.gradient_check import largest_relative_difference
from wengert.train.loop import Epoch, train
from wengert.train.plot import check_plot_path, plot

CHECKED_EXAMPLES = 32
CHECKED_PARTIALS = 500
WEIGHT_DECAY = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.description = (
        "Train a multilayer perceptron: forward through the layers, backward to the partial "
        "derivatives of each layer's parameters, update. Checks the gradient against central "
        "differences first, and prints the accuracy on held-out examples last."
    )
    parser.add_argument(
        "program",
        choices=["digits"],
        help="digits: the 1,797 handwritten digits that scikit-learn ships",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz",
        help="other examples: an .npz of x_train, y_train, x_test, y_test, such as MNIST",
    )
    parser.add_argument(
        "--epochs", type=_count, default=40, metavar="N", help="passes over the data (%(default)s)"
    )
    parser.add_argument(
        "--hidden",
        type=_sizes,
        default=[128],
        metavar="N[,N...]",
        help="sizes of the hidden layers, first to last (128)",
    )
    parser.add_argument(
        "--batch", type=_count, default=32, metavar="N", help="examples per update (%(default)s)"
    )
    parser.add_argument(
        "--learning-rate",
        type=_rate,
        default=0.02,
        metavar="RATE",
        help="at the start, falling to 0 along a cosine (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="of every random choice: which digits are held out, where the weights start, the "
        "order of the examples (%(default)s)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw loss and accuracy (.png, .svg, .pdf)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train as asked, report on standard output, and return the exit status."""
    if arguments.plot:
        check_plot_path(arguments.plot)
    dataset = data.load(arguments.data) if arguments.data else data.digits(arguments.seed)
    sizes = [dataset.features, *arguments.hidden, dataset.classes]
    rng = np.random.default_rng(arguments.seed)
    params = mlp_init(rng, sizes, dtype=np.float32)
    print(
        f"{dataset.name}: {len(dataset.x_train):,} examples to learn from, "
        f"{len(dataset.x_test):,} held out"
    )
    print(
        f"network: {' -> '.join(map(str, sizes))} units, "
        f"{sum(leaf.size for layer in params for leaf in layer.values()):,} parameters"
    )
    difference, compared = largest_relative_difference(
        params,
        dataset.x_train[:CHECKED_EXAMPLES],
        dataset.y_train[:CHECKED_EXAMPLES],
        samples=CHECKED_PARTIALS,
        rng=np.random.default_rng(arguments.seed),
    )
    print(
        f"gradient check: {compared} partials against central differences, "
        f"largest relative difference {difference:.1e}"
    )

    updates = arguments.epochs * math.ceil(len(dataset.x_train) / arguments.batch)
    optimiser = adamw(cosine_decay(arguments.learning_rate, updates), weight_decay=WEIGHT_DECAY)
    epochs: list[Epoch] = []
    with tqdm(total=arguments.epochs, unit="epoch", desc="training") as progress:
        for epoch in train(
            dataset,
            params,
            optimiser,
            epochs=arguments.epochs,
            batch_size=arguments.batch,
            rng=rng,
        ):
            epochs.append(epoch)
            progress.set_postfix_str(
                f"loss {epoch.loss:.4f}, held out {epoch.test_accuracy:.1%}", refresh=False
            )
            progress.update()
    if arguments.plot:
        plot(arguments.plot, f"{dataset.name}: {' → '.join(map(str, sizes))}", epochs)
        print(f"plot of loss and accuracy: {arguments.plot}")
    print(f"test accuracy: {100 * epochs[-1].test_accuracy:.1f} %")
    return 0


def _count(text: str) -> int:
    number = _integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text!r}")
    return number


def _seed(text: str) -> int:
    number = _integer(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must be from 0 to {2**32 - 1}, got {text!r}")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None


def _sizes(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive and finite, got {text!r}")
    return rate
