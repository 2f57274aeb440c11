"""Texts that break software, from an npm package. It is pinned here, and installed on first use."""
