"""`pytest notebooks/NN.ipynb` runs in the world of the tests too, and not in the machine's own."""

from tests.conftest import *  # noqa: F403
