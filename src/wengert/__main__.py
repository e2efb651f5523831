"""`python -m wengert`: the command, for where its script is not on the path."""

import sys

from wengert.cli import main

sys.exit(main())
