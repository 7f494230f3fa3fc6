"""`python -m upsample_rs` is the `upsample-rs` command."""

import sys

from upsample_rs.cli import main

if __name__ == "__main__":
    sys.exit(main())
