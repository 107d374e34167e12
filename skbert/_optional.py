"""Packages that only some functions need: imported when they run, one clear error without them."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

from skbert._exceptions import InputError, MissingPackageError


def import_optional(module: str, *, extra: str, needed_by: str) -> Any:
    """Import a module of a package that skbert does not depend on.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of skbert that installs its package.
    needed_by : str
        Public name that needs it, for the message.

    Raises
    ------
    MissingPackageError
        If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{needed_by} needs {package}, which is not installed or cannot be imported "
            f'({error}). Run: pip install {package}, or pip install "skbert[{extra}]".'
        ) from error


def new_axes(ax: Any, needed_by: str, **figure_kwargs: Any) -> Any:
    """Return the axes to draw on: the given ones, or those of a new figure.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by=needed_by)
    if ax is not None:
        return ax
    return pyplot.subplots(layout="constrained", **figure_kwargs)[1]


def not_a_text_column(message: str) -> InputError:
    """Return the error of a column that holds something else than texts.

    Where skrub is in use, which is looked up and not imported, it is its ``RejectColumn``, too:
    with ``allow_reject=True`` skrub then leaves the column as it is.
    """
    core = sys.modules.get("skrub.core")
    if core is None and "skrub" in sys.modules:
        try:
            core = importlib.import_module("skrub.core")
        except ImportError:  # of a version that names it otherwise
            core = None
    reject = getattr(core, "RejectColumn", None)
    return InputError(message) if reject is None else _rejection(reject)(message)


@cache
def _rejection(reject: type[Exception]) -> type[InputError]:
    # Unpickled, in a process where skrub may not be in use, it is made anew.
    return type(
        InputError.__name__,
        (InputError, reject),
        {
            "__module__": InputError.__module__,
            "__reduce__": lambda error: (not_a_text_column, error.args),
        },
    )
