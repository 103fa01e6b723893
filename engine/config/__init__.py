"""The files that an operator writes: read strictly, checked as a whole, explained by line."""
