"""Azure Machine Learning: one workspace's control plane, and an executor that really runs its jobs."""
