"""Every performance claim, one command each."""
