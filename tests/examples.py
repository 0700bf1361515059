"""How thorough the tests are that make up their own examples."""

import os

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "2"))
"""For each operation of the API; Hypothesis takes twenty times as many where a test does not say otherwise. The gate
takes 5; 200 is for a night."""
