"""A process that rotates the keys of a database, for a test that kills it."""

import sys

import uvloop

from tests.support.jobs.rotating import run_rotation

if __name__ == "__main__":
    uvloop.run(run_rotation(sys.argv[1]))
