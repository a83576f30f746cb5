"""What tests read and run that is made of other people's modules: had once, before the tests, which need no network."""

import os

from tests.cli.output.published import sarif_schema
from tests.yaml.kubectl import find_reader

if __name__ == "__main__":
    sarif_schema(os.environ)
    find_reader(os.environ)
