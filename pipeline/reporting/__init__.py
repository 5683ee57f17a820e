"""What a reader sees: tables, figures and pages made from the results of the evaluations."""
