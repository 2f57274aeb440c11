"""A worker that rotates the keys of a database, for a test to kill in the middle."""

import sys

import uvloop

from tests.support.jobs.rotating import rotated

if __name__ == "__main__":
    uvloop.run(rotated(sys.argv[1]))
