"""The content of requests and answers, one file per subject."""
