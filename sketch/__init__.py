"""Reference profiles and sketches that add up exactly: shared by training, edge and cloud; numpy only."""
