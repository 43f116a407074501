"""Infrastructure as code; what of it is Python is in steps/."""
