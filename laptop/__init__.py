"""Azure on a laptop, behind the wire: production code talks to it by settings alone."""
