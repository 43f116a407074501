"""Judge a finished training job against the champion; register the better model with its lineage."""
