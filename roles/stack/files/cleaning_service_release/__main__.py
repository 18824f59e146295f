"""`python3 -m cleaning_service_release`."""

import sys

from cleaning_service_release.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
