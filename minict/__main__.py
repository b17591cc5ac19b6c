"""``python -m minict`` is the command ``minict``."""
from minict.engine.cli import main

main()
