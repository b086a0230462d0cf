"""What MkDocs asks for while it builds the site: the reference pages, which no file holds."""

from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from manual import commands, job_file, settings, tables

#: Each page of the reference, and what writes it.
REFERENCE: dict[str, Callable[[], str]] = {
    "reference-job-file.md": job_file.page,
    "reference-commands.md": commands.page,
    "reference-settings.md": settings.page,
    "reference-tables.md": tables.page,
}
#: Pages of the menu that come with what they describe; until then their place is kept.
COMING = ("operation.md",)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference, as they follow from the code now."""
    for name, page in REFERENCE.items():
        if (Path(config.docs_dir) / name).exists():
            raise FileExistsError(
                f"docs/{name} is made from the code; no file of that name belongs"
            )
        files.append(File.generated(config, name, content=page()))
    for name in COMING:
        if not (Path(config.docs_dir) / name).exists():
            files.append(File.generated(config, name, content=f"# {name[:-3].capitalize()}\n"))
    return files
