"""``python -m minict`` is the command ``minict``."""

from minict.engine.cli.main import main

main()
