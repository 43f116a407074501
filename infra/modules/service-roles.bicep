// What Azure's own services may do when they act for us. It has to stand before they are made: each is tried out at once.

param deliveryPrincipalId string
param workspacePrincipalId string

@description('The data account, with the container for dead letters.')
param dataAccountName string

@description('Account, vault, registry and Application Insights of the Azure Machine Learning workspace.')
param workspaceAccountName string
param workspaceVaultName string
param registryName string
param insightsName string

@description('Whether telemetry goes through Event Hubs; if not, there is no such namespace.')
param throughEventHubs bool
param eventHubsNamespaceName string
param eventHub string

param workspaceServiceRoleId string

@description('Whether the workspace reaches the data account by a private endpoint, which it has to approve itself.')
param private bool

var blobDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
var eventHubsDataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '2b629674-e913-4c01-ae53-ef4638d8f975')
var fileDataPrivilegedContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69566ab7-960f-475b-8e7c-b3118f30c6bd')
var networkConnectionApprover = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b556d68e-0be0-4f35-a333-ad7ee1ce17ea')
var secretsOfficer = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7')

resource dataAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: dataAccountName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource deadLetters 'containers' existing = {
      name: 'deadletter'
    }
  }
}

resource workspaceAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: workspaceAccountName
}

resource workspaceVault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: workspaceVaultName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource namespace 'Microsoft.EventHub/namespaces@2026-01-01' existing = if (throughEventHubs) {
  name: eventHubsNamespaceName

  resource telemetry 'eventhubs' existing = {
    name: eventHub
  }
}

// Event Grid lays down what it could not deliver; nothing else in the account is open to it
resource deliveryWritesDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(dataAccount::blobs::deadLetters.id, deliveryPrincipalId, blobDataContributor)
  scope: dataAccount::blobs::deadLetters
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: deliveryPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// IoT Hub routes telemetry into one event hub
resource deliverySendsTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (throughEventHubs) {
  name: guid(namespace::telemetry.id, deliveryPrincipalId, eventHubsDataSender)
  scope: namespace::telemetry
  properties: {
    roleDefinitionId: eventHubsDataSender
    principalId: deliveryPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Snapshots of code, logs and what one step of a job leaves for the next
resource workspaceWritesBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceAccount.id, workspacePrincipalId, blobDataContributor)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The workspace makes a file share for notebooks, whether anybody uses them or not
resource workspaceWritesFiles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceAccount.id, workspacePrincipalId, fileDataPrivilegedContributor)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: fileDataPrivilegedContributor
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceUsesAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceAccount.id, workspacePrincipalId, workspaceServiceRoleId)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: workspaceServiceRoleId
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// A vault of its own: the key that models are signed with lies in another one
resource workspaceKeepsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceVault.id, workspacePrincipalId, secretsOfficer)
  scope: workspaceVault
  properties: {
    roleDefinitionId: secretsOfficer
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceUsesVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceVault.id, workspacePrincipalId, workspaceServiceRoleId)
  scope: workspaceVault
  properties: {
    roleDefinitionId: workspaceServiceRoleId
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Environments are built by the registry's tasks, pushed, and pulled by the cluster
resource workspaceBuildsEnvironments 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, workspacePrincipalId, workspaceServiceRoleId)
  scope: registry
  properties: {
    roleDefinitionId: workspaceServiceRoleId
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceReadsInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, workspacePrincipalId, workspaceServiceRoleId)
  scope: insights
  properties: {
    roleDefinitionId: workspaceServiceRoleId
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The managed network makes private endpoints to what is not public, and approves them itself
resource workspaceReachesData 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (private) {
  name: guid(dataAccount.id, workspacePrincipalId, networkConnectionApprover)
  scope: dataAccount
  properties: {
    roleDefinitionId: networkConnectionApprover
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceReachesAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (private) {
  name: guid(workspaceAccount.id, workspacePrincipalId, networkConnectionApprover)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: networkConnectionApprover
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceReachesVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (private) {
  name: guid(workspaceVault.id, workspacePrincipalId, networkConnectionApprover)
  scope: workspaceVault
  properties: {
    roleDefinitionId: networkConnectionApprover
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource workspaceReachesRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (private) {
  name: guid(registry.id, workspacePrincipalId, networkConnectionApprover)
  scope: registry
  properties: {
    roleDefinitionId: networkConnectionApprover
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}
