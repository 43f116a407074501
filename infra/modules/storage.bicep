// One storage account, as closed as an account can be and still work: Entra tokens only, no public blobs, TLS 1.2.

param location string
param tags object
param name string
param logsTo string

@description('Containers to make.')
param containers string[]

@description('Days that a deleted blob, an overwritten version or a deleted container can be brought back.')
@minValue(1)
@maxValue(365)
param daysToRestore int = 14

@description('Keep every overwritten version, as long as a deleted blob is kept.')
param versioning bool = true

@description('Days after which blobs are deleted, by container; a container that is not named keeps its blobs.')
param daysKept object = {}

@description('Days after which blobs become cheaper to keep and dearer to read, by container.')
param daysHot object = {}

@description('Stack Edge uploads with an account key and nothing else. True only for a site with such a device.')
param allowSharedKey bool = false

@description('Reachable from outside the virtual network; if not, only from the addresses below.')
param public bool

@description('Addresses or ranges that may reach an account that is otherwise not public.')
param allowedAddresses string[]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: allowSharedKey
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    isSftpEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: public || !empty(allowedAddresses) ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: public ? 'Allow' : 'Deny'
      ipRules: [for address in (public ? [] : allowedAddresses): { value: address, action: 'Allow' }]
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      isVersioningEnabled: versioning
      deleteRetentionPolicy: { enabled: true, days: daysToRestore }
      containerDeleteRetentionPolicy: { enabled: true, days: daysToRestore }
    }

    resource container 'containers' = [for one in containers: {
      name: one
      properties: { publicAccess: 'None' }
    }]
  }

  resource tables 'tableServices' = {
    name: 'default'
  }
}

var expiry = [for rule in items(daysKept): {
  name: 'expire-${rule.key}'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob', 'appendBlob'], prefixMatch: ['${rule.key}/'] }
    actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: rule.value } } }
  }
}]

var cooling = [for rule in items(daysHot): {
  name: 'cool-${rule.key}'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob'], prefixMatch: ['${rule.key}/'] }
    actions: { baseBlob: { tierToCool: { daysAfterModificationGreaterThan: rule.value } } }
  }
}]

var oldVersions = {
  name: 'expire-old-versions'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob'] }
    actions: { version: { delete: { daysAfterCreationGreaterThan: daysToRestore } } }
  }
}

// Where no versions are kept a rule about them means nothing, and without a rule there is no policy
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = if (versioning) {
  parent: account
  name: 'default'
  properties: { policy: { rules: concat([oldVersions], expiry, cooling) } }
  dependsOn: [account::blobs] // which keeps the versions that the first rule is about
}

resource blobDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: account::blobs
  properties: {
    workspaceId: logsTo
    logs: [
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true } // reads would cost more than everything else together
    ]
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

resource tableDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: account::tables
  properties: {
    workspaceId: logsTo
    logs: [{ category: 'StorageDelete', enabled: true }]
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
output tableEndpoint string = account.properties.primaryEndpoints.table
