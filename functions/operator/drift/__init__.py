"""`refluent drift`: do two files hold the same data? The loop's own detector, for any Parquet or CSV."""
