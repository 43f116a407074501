// Telemetry on its way from IoT Hub to the function app. IoT Hub's own endpoint takes no Entra token, this one takes nothing else.

param location string
param tags object
param name string
param logsTo string
param public bool

@description('The event hub, as the setting TELEMETRY_EVENT_HUB names it.')
param hub string

@description('The function app\'s consumer group, as the setting TELEMETRY_CONSUMER_GROUP names it.')
param consumerGroup string

@description('Fixed for the life of the hub. A device\'s messages stay in one partition, and so many batches are counted at once.')
@minValue(1)
@maxValue(32)
param partitions int = 4

@description('Units of 1 MB a second in; the namespace goes up to this by itself, and not down again.')
@minValue(1)
@maxValue(40)
param unitsAtMost int = 4

resource namespace 'Microsoft.EventHub/namespaces@2026-01-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard', capacity: 1 }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    isAutoInflateEnabled: true
    maximumThroughputUnits: unitsAtMost
    publicNetworkAccess: public ? 'Enabled' : 'Disabled'
  }

  resource telemetry 'eventhubs' = {
    name: hub
    properties: {
      partitionCount: partitions
      // Three days: a weekend in which nobody notices that the app is down
      retentionDescription: { cleanupPolicy: 'Delete', retentionTimeInHours: 72 }
    }

    resource drift 'consumergroups' = {
      name: consumerGroup
    }
  }

  resource fence 'networkRuleSets' = if (!public) {
    name: 'default'
    properties: {
      publicNetworkAccess: 'Disabled'
      defaultAction: 'Deny'
      trustedServiceAccessEnabled: true // IoT Hub routes from outside any network of ours, by its identity
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: namespace
  properties: {
    workspaceId: logsTo
    logs: [{ categoryGroup: 'audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = namespace.id
output name string = namespace.name
