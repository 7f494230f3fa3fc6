"""Make the relative links of a file at the root absolute, as a package index needs them.

    python .ci/absolute_links.py README.md v1.2.3

The release workflow runs it before it builds; the repository keeps its links relative.
"""

import re
import sys
from pathlib import Path

REPOSITORY = "upsample-rs/upsample_rs"
LINK = re.compile(r"(!?)(\[[^\]]*\]\()((?!\w+:|#)[^)\s]+\))")


def absolute(text: str, tag: str) -> str:
    """Return a text whose pictures and links work anywhere."""
    raw = f"https://raw.githubusercontent.com/{REPOSITORY}/{tag}/"
    shown = f"https://github.com/{REPOSITORY}/blob/{tag}/"
    return LINK.sub(lambda m: f"{m[1]}{m[2]}{raw if m[1] else shown}{m[3]}", text)


if __name__ == "__main__":
    path, tag = Path(sys.argv[1]), sys.argv[2]
    path.write_text(absolute(path.read_text(encoding="utf-8"), tag), encoding="utf-8")
