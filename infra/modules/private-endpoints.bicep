// Private addresses for what the app reads and writes, and the names that lead to them.

param location string
param tags object
param prefix string
param networkId string
param subnetId string

param hostAccountId string
param dataAccountId string
param signingVaultId string
param registryId string

@description('Empty if telemetry goes by Event Grid.')
param eventHubsId string

var blobs = 'privatelink.blob.${environment().suffixes.storage}'
var tables = 'privatelink.table.${environment().suffixes.storage}'
var registries = 'privatelink${environment().suffixes.acrLoginServer}'
var vaults = 'privatelink.vaultcore.azure.net'
var buses = 'privatelink.servicebus.windows.net'

var zones = concat([blobs, tables, registries, vaults], empty(eventHubsId) ? [] : [buses])
var telemetry = empty(eventHubsId) ? [] : [{ name: 'telemetry', id: eventHubsId, group: 'namespace', zone: buses }]
var targets = concat(
  [
    { name: 'host-blob', id: hostAccountId, group: 'blob', zone: blobs }
    { name: 'host-table', id: hostAccountId, group: 'table', zone: tables }
    { name: 'data-blob', id: dataAccountId, group: 'blob', zone: blobs }
    { name: 'data-table', id: dataAccountId, group: 'table', zone: tables }
    { name: 'signing-vault', id: signingVaultId, group: 'vault', zone: vaults }
    { name: 'registry', id: registryId, group: 'registry', zone: registries }
  ],
  telemetry
)

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for name in zones: {
    name: name
    location: 'global'
    tags: tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (name, i) in zones: {
    parent: zone[i]
    name: 'to-our-network'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: networkId }
    }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for target in targets: {
    name: '${prefix}${target.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: {
            privateLinkServiceId: target.id
            groupIds: [target.group]
          }
        }
      ]
    }
  }
]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (target, i) in targets: {
    parent: endpoint[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: target.name
          properties: { privateDnsZoneId: zone[indexOf(zones, target.zone)].id }
        }
      ]
    }
  }
]
