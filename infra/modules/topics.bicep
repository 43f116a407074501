// Where events come from: three services' own topics, and the one on which the loop announces what it did.

param location string
param tags object
param names object
param logsTo string

param deliveryIdentityId string
param dataAccountId string
param workspaceId string
param iotHubId string

var lettersAreLaidDownBy = {
  type: 'UserAssigned'
  userAssignedIdentities: { '${deliveryIdentityId}': {} }
}

resource uploads 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: names.uploads
  location: location
  tags: tags
  identity: lettersAreLaidDownBy
  properties: { source: dataAccountId, topicType: 'Microsoft.Storage.StorageAccounts' }
}

resource training 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: names.training
  location: location
  tags: tags
  identity: lettersAreLaidDownBy
  properties: { source: workspaceId, topicType: 'Microsoft.MachineLearningServices.Workspaces' }
}

resource devices 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: names.devices
  location: location
  tags: tags
  identity: lettersAreLaidDownBy
  properties: { source: iotHubId, topicType: 'Microsoft.Devices.IoTHubs' }
}

resource announcements 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: names.announcements
  location: location
  tags: tags
  identity: lettersAreLaidDownBy
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: 'Enabled' // by Entra token only; continuous integration announces new training code here
    dataResidencyBoundary: 'WithinRegion'
  }
}

resource uploadsDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: uploads
  properties: {
    workspaceId: logsTo
    logs: [{ category: 'DeliveryFailures', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

resource trainingDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: training
  properties: {
    workspaceId: logsTo
    logs: [{ category: 'DeliveryFailures', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

resource devicesDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: devices
  properties: {
    workspaceId: logsTo
    logs: [{ category: 'DeliveryFailures', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

resource announcementsDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: announcements
  properties: {
    workspaceId: logsTo
    logs: [
      { category: 'DeliveryFailures', enabled: true }
      { category: 'PublishFailures', enabled: true }
    ]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output uploadsId string = uploads.id
output trainingId string = training.id
output devicesId string = devices.id
output announcementsId string = announcements.id
output announcementsName string = announcements.name
output announcementsEndpoint string = announcements.properties.endpoint
