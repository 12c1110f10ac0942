"""Networks that forecast discharge at lead times 1 to n from an issue date."""
