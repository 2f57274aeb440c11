"""Documents in the cache: the ports, the followers that fill it, and answers from it."""
