// Azure Machine Learning: the workspace, its datastores by identity, and one cluster that costs nothing while nothing trains.

param location string
param tags object
param name string
param logsTo string

param workspaceIdentityId string
param trainingIdentityId string

param accountId string
param vaultId string
param registryId string
param insightsId string

@description('The data account, whose containers jobs read and write.')
param dataAccountName string
param dataAccountId string

@description('Its containers in which uploads land.')
param landingContainers string[]

@description('Whether the data account is reached by a private endpoint of the managed network.')
param private bool

@description('Name of the cluster, as loop files name it.')
param clusterName string
param vmSize string

@minValue(1)
@maxValue(100)
param nodesAtMost int

// Each of these containers is a datastore of its name; jobs see them with the cluster's identity, without any key
var datastores = concat(landingContainers, ['versions', 'manifests', 'models', 'outputs'])

var toTheDataAccount = {
  'data-account': {
    type: 'PrivateEndpoint'
    category: 'UserDefined'
    destination: { serviceResourceId: dataAccountId, subresourceTarget: 'blob', sparkEnabled: false }
  }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-09-01' = {
  name: name
  location: location
  tags: tags
  kind: 'Default'
  sku: { name: 'Basic', tier: 'Basic' }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${workspaceIdentityId}': {} }
  }
  properties: {
    friendlyName: 'Refluent'
    primaryUserAssignedIdentity: workspaceIdentityId
    storageAccount: accountId
    keyVault: vaultId
    containerRegistry: registryId
    applicationInsights: insightsId
    systemDatastoresAuthMode: 'Identity'
    v1LegacyMode: false
    publicNetworkAccess: 'Enabled' // its control plane takes Entra tokens only, and people look at their jobs in a browser
    managedNetwork: {
      isolationMode: 'AllowInternetOutbound' // environments are built from package indexes
      outboundRules: private ? toTheDataAccount : {}
    }
  }

  resource datastore 'datastores' = [for container in datastores: {
    name: container
    properties: {
      datastoreType: 'AzureBlob'
      accountName: dataAccountName
      containerName: container
      endpoint: environment().suffixes.storage
      protocol: 'https'
      credentials: { credentialsType: 'None' }
      serviceDataAccessAuthIdentity: 'None'
    }
  }]

  resource cluster 'computes' = {
    name: clusterName
    location: location
    tags: tags
    identity: {
      type: 'UserAssigned'
      userAssignedIdentities: { '${trainingIdentityId}': {} }
    }
    properties: {
      computeType: 'AmlCompute'
      description: 'Trains; has no node while nothing does.'
      disableLocalAuth: true
      properties: {
        osType: 'Linux'
        vmSize: vmSize
        vmPriority: 'Dedicated'
        enableNodePublicIp: false
        remoteLoginPortPublicAccess: 'Disabled'
        scaleSettings: {
          minNodeCount: 0
          maxNodeCount: nodesAtMost
          nodeIdleTimeBeforeScaleDown: 'PT5M'
        }
      }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: workspace
  properties: {
    workspaceId: logsTo
    logs: [{ categoryGroup: 'audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = workspace.id
output name string = workspace.name
