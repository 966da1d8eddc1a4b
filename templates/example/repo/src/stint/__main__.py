import sys

from stint.cli import main

sys.exit(main())
