"""How good a sample is: one file a metric, arrays in, numbers out."""
