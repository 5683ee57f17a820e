"""One module a data set: each brings its own to media and one manifest."""
