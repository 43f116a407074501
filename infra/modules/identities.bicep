// Who acts. Four identities, so that none of them can do another one's work; roles.bicep says what each may do.

param location string
param tags object
param prefix string

@description('The function app: reads what lands, orders jobs, registers models, deploys to devices.')
resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}app'
  location: location
  tags: tags
}

@description('The training cluster: anybody\'s training script runs with these rights.')
resource training 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}training'
  location: location
  tags: tags
}

@description('Event Grid and IoT Hub when they deliver: dead letters into a container, telemetry into an event hub.')
resource delivery 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}delivery'
  location: location
  tags: tags
}

@description('The Azure Machine Learning service itself, on its own account, vault and registry; no script runs as it.')
resource workspace 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}workspace'
  location: location
  tags: tags
}

output appId string = app.id
output appClientId string = app.properties.clientId
output appPrincipalId string = app.properties.principalId
output trainingId string = training.id
output trainingPrincipalId string = training.properties.principalId
output deliveryId string = delivery.id
output deliveryPrincipalId string = delivery.properties.principalId
output workspaceId string = workspace.id
output workspacePrincipalId string = workspace.properties.principalId
