"""The sample training pipeline: plain scripts that Azure Machine Learning runs; they import only sketch/."""
