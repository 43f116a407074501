"""`python -m laptop.somebody MODEL`: registers a model by hand, as a person would who knows nothing of the loop."""

import os
import sys

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import DefaultAzureCredential


def main() -> None:
    """Register the next version of a model, without lineage."""
    name = sys.argv[1]
    parts = os.environ["AZUREML_WORKSPACE_ID"].strip("/").split("/")
    client = MLClient(DefaultAzureCredential(), parts[1], parts[3], parts[-1])
    path = "azureml://datastores/models/paths/by-hand/"
    model = Model(name=name, path=path, type="custom_model", description="looks good to me")
    print(client.models.create_or_update(model).version)


if __name__ == "__main__":
    main()
