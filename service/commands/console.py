"""The console that every command writes to: what it prints cannot command the terminal."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from service.printable import printable


class SafeConsole(Console):
    """A console of rich's on which names, values and error texts are only ever text.

    Rich's own control codes (colours, moving the cursor) pass: they are no part of any text.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render, with a visible sign in the place of each control character in a text."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
