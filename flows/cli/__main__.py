"""`python -m treadle.flows.cli` is `treadle`."""

import sys

from treadle.flows.cli import main

sys.exit(main())
