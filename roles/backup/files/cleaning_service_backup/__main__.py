"""`python -m cleaning_service_backup`."""

import sys

from cleaning_service_backup.cli import main

sys.exit(main(sys.argv[1:]))
