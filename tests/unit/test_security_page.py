"""docs/security.md and its tests say the same: no sentence without an attack, and none invented."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_numbered_sentence_has_a_test_and_every_test_its_sentence():
    page = (ROOT / "docs" / "security.md").read_text()
    numbered = [int(number) for number in re.findall(r"^\*\*S(\d+)\*\* ", page, re.MULTILINE)]
    assert numbered == list(range(1, len(numbered) + 1))
    attacked: set[int] = set()
    for path in (ROOT / "tests").rglob("test_security*.py"):
        for name in re.findall(r"^ *def (test_s\d\w+)", path.read_text(), re.MULTILINE):
            attacked.update(map(int, re.findall(r"(?<=[_])s(\d+)(?=_)", name)))
    assert attacked == set(numbered)
