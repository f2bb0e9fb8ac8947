"""`python -m flows.cli` is `treadle`."""

import sys

from flows.cli import main

sys.exit(main())
