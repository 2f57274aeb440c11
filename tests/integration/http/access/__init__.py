"""Access over HTTP: permissions, sign-in, sessions, requests from other sites, and the events that say
who read what.
"""
