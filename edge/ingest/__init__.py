"""The module beside the share: finished files become clean Parquet on the cloud share, with a transfer manifest."""
