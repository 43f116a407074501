"""`python -m laptop.host`: run a function app as `func start` would."""

import sys

from laptop.host.serve import main

if __name__ == "__main__":
    sys.exit(main())
