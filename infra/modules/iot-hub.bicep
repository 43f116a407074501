// Devices, twins and deployments, and the one route that telemetry takes.

param location string
param tags object
param name string
param logsTo string

@allowed(['S1', 'S2', 'S3'])
param sku string

@minValue(1)
param units int

@description('Refuse the hub\'s shared access policies. Device Provisioning Service needs them, so it is false where devices enrol by it.')
param refuseKeys bool

@description('Identity that writes to the event hub.')
param deliveryIdentityId string

@description('Namespace of the event hub; empty if telemetry goes by Event Grid.')
param eventHubsNamespace string

@description('The event hub.')
param eventHub string

var throughEventHubs = !empty(eventHubsNamespace)

var telemetryEndpoint = {
  name: 'telemetry'
  authenticationType: 'identityBased'
  identity: { userAssignedIdentity: deliveryIdentityId }
  endpointUri: 'sb://${eventHubsNamespace}.servicebus.windows.net'
  entityPath: eventHub
}

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: units }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${deliveryIdentityId}': {} }
  }
  properties: {
    disableLocalAuth: refuseKeys
    enableFileUploadNotifications: false
    minTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled' // devices are out there
    routing: {
      endpoints: {
        eventHubs: throughEventHubs ? [telemetryEndpoint] : []
      }
      // Without Event Hubs the subscription to DeviceTelemetry makes the second route by itself; it stands here too, so
      // that a later deployment of this file does not take it away again
      routes: [
        {
          name: throughEventHubs ? 'telemetry' : 'RouteToEventGrid'
          source: 'DeviceMessages'
          condition: 'true'
          endpointNames: [throughEventHubs ? 'telemetry' : 'eventgrid']
          isEnabled: true
        }
      ]
      // What no route takes would go to the built-in endpoint, where nobody reads
      fallbackRoute: {
        name: '$fallback'
        source: 'DeviceMessages'
        condition: 'true'
        endpointNames: ['events']
        isEnabled: false
      }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: hub
  properties: {
    workspaceId: logsTo
    logs: [
      { category: 'Connections', enabled: true }
      { category: 'Configurations', enabled: true }
      { category: 'Routes', enabled: true }
    ]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = hub.id
output name string = hub.name
output hostName string = hub.properties.hostName
