"""The top floor: all that reads a configuration or knows Snakemake. No room below imports it."""
