"""Packages that only some functions need: imported when they run, one clear error without them."""

from __future__ import annotations

import importlib
from typing import Any

from skbert._exceptions import MissingPackageError


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
