"""Entry point of `python3 -m cleaning_service_monitor`."""

import sys

from cleaning_service_monitor.cli import main

sys.exit(main())
