"""Tell again what a fit warned of, in a fold that is spared the fit."""

import warnings
from collections.abc import Iterable


def tell(warned: Iterable[warnings.WarningMessage]) -> None:
    """Give warnings that were recorded once more, as from where they came."""
    for warning in warned:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
