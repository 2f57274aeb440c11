"""HTTP itself: headers, bodies, preconditions, cursors and problems."""
