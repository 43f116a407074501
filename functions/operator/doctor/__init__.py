"""`refluent doctor`: what is wrong with this app and all it stands on, and what mends it."""
