// Who may do what, on what: the app, the training cluster, the devices and the person who deploys. One assignment, one reason.

param appPrincipalId string
param trainingPrincipalId string
param workspacePrincipalId string

@description('Who runs `azd up` and, later, `refluent`; empty for nobody.')
param operatorPrincipalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string

@description('Object ids of the identities that devices read models with.')
param devicePrincipalIds string[]

param hostAccountName string
param dataAccountName string

@description('Its containers in which uploads land.')
param landingContainers string[]

param workspaceAccountName string
param signingVaultName string
param registryName string
param workspaceName string
param iotHubName string
param topicName string
param insightsName string

@description('Whether telemetry goes through Event Hubs; if not, there is no such namespace.')
param throughEventHubs bool
param eventHubsNamespaceName string
param eventHub string

@description('Whether the app has model images built.')
param buildsImages bool

param fleetDeployerRoleId string
param imageBuilderRoleId string
param workspaceServiceRoleId string

var roles = 'Microsoft.Authorization/roleDefinitions'
var acrPull = subscriptionResourceId(roles, '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var blobDataContributor = subscriptionResourceId(roles, 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
var blobDataOwner = subscriptionResourceId(roles, 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b')
var blobDataReader = subscriptionResourceId(roles, '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1')
var dataScientist = subscriptionResourceId(roles, 'f6c7c914-8db3-469d-8ca1-694a8f32e121')
var eventGridDataSender = subscriptionResourceId(roles, 'd5a91429-5739-47e2-a06b-3470a27159e7')
var eventHubsDataReceiver = subscriptionResourceId(roles, 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde')
var iotHubDataContributor = subscriptionResourceId(roles, '4fc6c259-987e-4a07-842e-c321cc9d413f')
var metricsPublisher = subscriptionResourceId(roles, '3913510d-42f4-4e42-8a64-420c390055eb')
var secretsOfficer = subscriptionResourceId(roles, 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7')
var secretsUser = subscriptionResourceId(roles, '4633458b-17de-408a-b874-0445c86b69e6')
var tableDataContributor = subscriptionResourceId(roles, '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3')

var hasOperator = !empty(operatorPrincipalId)

// What the app may do in each container of the data account; what sites upload is theirs: it copies, and changes nothing
var whatLands = map(landingContainers, name => { name: name, role: blobDataReader })
var appContainers = concat(whatLands, [
  { name: 'versions', role: blobDataContributor } // an admitted file is kept, once per version
  { name: 'manifests', role: blobDataContributor } // which versions a job trains on
  { name: 'outputs', role: blobDataReader } // what jobs wrote: judged, then copied to models
  { name: 'models', role: blobDataContributor } // what devices fetch
  { name: 'quarantine', role: blobDataContributor } // what can never be used, with the reason
  { name: 'deadletter', role: blobDataReader } // what a person orders to be replayed
])

// What a training script may do: read what it was given, write what it made. It cannot touch what devices fetch
var trainingContainers = [
  { name: 'versions', role: blobDataReader }
  { name: 'manifests', role: blobDataReader }
  { name: 'models', role: blobDataReader } // the champion, to be compared with
  { name: 'outputs', role: blobDataContributor }
]

// What the operator changes by hand; everything else in the account is read only
var changedByHand = [
  'models' // refluent approve signs
  'deadletter' // refluent replay --file brings recorded events
]
var operatorContainers = hasOperator ? concat(landingContainers, changedByHand) : [] // refluent send

resource hostAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostAccountName
}

resource dataAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: dataAccountName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

resource appContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for one in appContainers: {
    parent: dataAccount::blobs
    name: one.name
  }
]

resource trainingContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for one in trainingContainers: {
    parent: dataAccount::blobs
    name: one.name
  }
]

resource operatorContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for one in operatorContainers: {
    parent: dataAccount::blobs
    name: one
  }
]

resource models 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: dataAccount::blobs
  name: 'models'
}

resource workspaceAccount 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: workspaceAccountName
}

resource signingVault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: signingVaultName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-09-01' existing = {
  name: workspaceName
}

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: iotHubName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
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

// --- the app

// The Functions host's leases, checkpoints and deployment package; the host asks for Owner, on this account alone
resource appRunsItsHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostAccount.id, appPrincipalId, blobDataOwner)
  scope: hostAccount
  properties: {
    roleDefinitionId: blobDataOwner
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The Functions host's own diagnostic events
resource appKeepsHostEvents 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostAccount.id, appPrincipalId, tableDataContributor)
  scope: hostAccount
  properties: {
    roleDefinitionId: tableDataContributor
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// See the table above
resource appUsesContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (one, i) in appContainers: {
    name: guid(appContainer[i].id, appPrincipalId, one.role)
    scope: appContainer[i]
    properties: {
      roleDefinitionId: one.role
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

// Rows and the journal; the app makes its tables on first use, so the scope is the account
resource appKeepsRows 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(dataAccount.id, appPrincipalId, tableDataContributor)
  scope: dataAccount
  properties: {
    roleDefinitionId: tableDataContributor
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Jobs, data assets and models; it cannot change the workspace or its compute
resource appOrdersJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, appPrincipalId, dataScientist)
  scope: workspace
  properties: {
    roleDefinitionId: dataScientist
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Deployments, and queries over twins
resource appDeploys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, appPrincipalId, fleetDeployerRoleId)
  scope: hub
  properties: {
    roleDefinitionId: fleetDeployerRoleId
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Announcements
resource appAnnounces 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, appPrincipalId, eventGridDataSender)
  scope: topic
  properties: {
    roleDefinitionId: eventGridDataSender
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Telemetry
resource appReadsTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (throughEventHubs) {
  name: guid(namespace::telemetry.id, appPrincipalId, eventHubsDataReceiver)
  scope: namespace::telemetry
  properties: {
    roleDefinitionId: eventHubsDataReceiver
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The key that models are signed with, the only secret of that vault
resource appReadsSigningKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(signingVault.id, appPrincipalId, secretsUser)
  scope: signingVault
  properties: {
    roleDefinitionId: secretsUser
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Traces, metrics and logs, with a token instead of an instrumentation key
resource appReportsMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, metricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: metricsPublisher
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Builds of model images
resource appBuildsImages 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (buildsImages) {
  name: guid(registry.id, appPrincipalId, imageBuilderRoleId)
  scope: registry
  properties: {
    roleDefinitionId: imageBuilderRoleId
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// --- the training cluster

// See the table above
resource trainingUsesContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (one, i) in trainingContainers: {
    name: guid(trainingContainer[i].id, trainingPrincipalId, one.role)
    scope: trainingContainer[i]
    properties: {
      roleDefinitionId: one.role
      principalId: trainingPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

// The job's code, its logs, and what one step leaves for the next
resource trainingUsesWorkspaceAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceAccount.id, trainingPrincipalId, blobDataContributor)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: trainingPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The environment a job runs in
resource trainingPulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, trainingPrincipalId, acrPull)
  scope: registry
  properties: {
    roleDefinitionId: acrPull
    principalId: trainingPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// --- the workspace's own identity; its rights on its account, vault and registry are older than it: service-roles.bicep

// Its own clusters, datastores and jobs
resource workspaceReadsItself 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, workspacePrincipalId, workspaceServiceRoleId)
  scope: workspace
  properties: {
    roleDefinitionId: workspaceServiceRoleId
    principalId: workspacePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// --- the devices

// Models, and nothing else
resource deviceReadsModels 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principal in devicePrincipalIds: {
    name: guid(models.id, principal, blobDataReader)
    scope: models
    properties: {
      roleDefinitionId: blobDataReader
      principalId: principal
      principalType: 'ServicePrincipal'
    }
  }
]

// --- the person who deploys and operates

// refluent why, verify, plan
resource operatorReadsData 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(dataAccount.id, operatorPrincipalId, blobDataReader)
  scope: dataAccount
  properties: {
    roleDefinitionId: blobDataReader
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// See the table above
resource operatorChangesContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (one, i) in operatorContainers: {
    name: guid(operatorContainer[i].id, operatorPrincipalId, blobDataContributor)
    scope: operatorContainer[i]
    properties: {
      roleDefinitionId: blobDataContributor
      principalId: operatorPrincipalId
      principalType: operatorPrincipalType
    }
  }
]

// refluent status, train, approve, pin
resource operatorKeepsRows 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(dataAccount.id, operatorPrincipalId, tableDataContributor)
  scope: dataAccount
  properties: {
    roleDefinitionId: tableDataContributor
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// The signing key is made by the postprovision hook, once
resource operatorMakesSigningKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(signingVault.id, operatorPrincipalId, secretsOfficer)
  scope: signingVault
  properties: {
    roleDefinitionId: secretsOfficer
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// The pipeline component and its environment are published by the postdeploy hook
resource operatorPublishesPipeline 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(workspace.id, operatorPrincipalId, dataScientist)
  scope: workspace
  properties: {
    roleDefinitionId: dataScientist
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// The component's code goes to the workspace's own account
resource operatorUploadsCode 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(workspaceAccount.id, operatorPrincipalId, blobDataContributor)
  scope: workspaceAccount
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// Devices are registered and tagged by people
resource operatorManagesDevices 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(hub.id, operatorPrincipalId, iotHubDataContributor)
  scope: hub
  properties: {
    roleDefinitionId: iotHubDataContributor
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}

// TrainingCodeChanged, and the empty batch of refluent doctor
resource operatorAnnounces 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperator) {
  name: guid(topic.id, operatorPrincipalId, eventGridDataSender)
  scope: topic
  properties: {
    roleDefinitionId: eventGridDataSender
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
  }
}
