"""The live events: a client gets each event as it is recorded, once and in order."""
