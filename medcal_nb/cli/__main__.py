"""Let ``python -m medcal_nb.cli`` do what ``medcal`` does."""

from medcal_nb.cli import main

main()
