"""The template that makes Refluent in Azure, checked without Azure."""
