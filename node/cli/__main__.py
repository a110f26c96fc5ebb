"""`python -m node.cli`: the command, for the processes that Kinring starts itself."""

import sys

from node.cli import main

sys.exit(main())
