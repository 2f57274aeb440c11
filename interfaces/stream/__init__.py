"""The live events: whoever listens gets them as they are recorded, each once and in order."""
