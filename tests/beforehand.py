"""What tests read and run that is built, or is made of others' modules: had once, before the tests."""

import os

from bench.generator import find_generator
from tests.cli.output.published import sarif_schema
from tests.yaml.kubectl import find_reader

if __name__ == "__main__":
    sarif_schema(os.environ)
    find_reader(os.environ)
    find_generator(os.environ)
