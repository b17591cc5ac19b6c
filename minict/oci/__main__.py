"""``python -m minict.oci``: the command ``minict-oci``."""

from .main import main

main()
