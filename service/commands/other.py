"""Commands about foldq itself: schema."""

from service.commands.terminal import print_json


def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    For example:
      foldq schema > foldq.schema.json
      # then, in VS Code's settings: "yaml.schemas": {"foldq.schema.json": "spool/incoming/*"}
    """
    from schemas.editor import json_schema

    print_json(json_schema())
