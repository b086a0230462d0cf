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


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference, as they follow from the code now."""
    for name, page in REFERENCE.items():
        if (Path(config.docs_dir) / name).exists():
            raise FileExistsError(
                f"docs/{name} is made from the code; no file of that name belongs"
            )
        files.append(File.generated(config, name, content=page()))
    return files
