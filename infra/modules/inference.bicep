// The model image in the cloud, for askers without a device: the same image as anywhere, the same /score. Nothing in it is
// authenticated, so it answers inside the network, or to the addresses that are named, and to nobody else.

param location string
param tags object
param namePrefix string
param planName string
param identityName string
param logsTo string

@allowed(['containerInstances', 'functions', 'kubernetes'])
param host string

@description('The model image by digest, as `refluent status` shows it. For `functions`, one whose base is edge/functions.Dockerfile.')
param image string

@description('Public keys whose models it takes: MODEL_KEYS, as on a device.')
param modelKeys string

param registryName string

@description('Subnet for Container Instances.')
param subnetId string

@description('Addresses or ranges that may ask the Functions container.')
param allowedAddresses string[]

@description('Object id of the kubelet identity of the cluster that infra/kubernetes/inference.yaml is applied to.')
param kubeletPrincipalId string

var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var onKubernetes = host == 'kubernetes'

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (!onKubernetes) {
  name: identityName
  location: location
  tags: tags
}

// It pulls its image, and has no other right: the model is inside
resource identityPulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!onKubernetes) {
  name: guid(registry.id, identityName, acrPull)
  scope: registry
  properties: {
    roleDefinitionId: acrPull
    principalId: identity!.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource kubeletPulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (onKubernetes) {
  name: guid(registry.id, kubeletPrincipalId, acrPull)
  scope: registry
  properties: {
    roleDefinitionId: acrPull
    principalId: kubeletPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource group 'Microsoft.ContainerInstance/containerGroups@2023-05-01' = if (host == 'containerInstances') {
  name: '${namePrefix}inference'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    osType: 'Linux'
    restartPolicy: 'Always'
    sku: 'Standard'
    imageRegistryCredentials: [{ server: registry.properties.loginServer, identity: identity.id }]
    subnetIds: [{ id: subnetId }]
    ipAddress: { type: 'Private', ports: [{ port: 8080, protocol: 'TCP' }] }
    containers: [
      {
        name: 'inference'
        properties: {
          image: image
          ports: [{ port: 8080, protocol: 'TCP' }]
          environmentVariables: [{ name: 'MODEL_KEYS', value: modelKeys }]
          resources: { requests: { cpu: 1, memoryInGB: 1 } }
          livenessProbe: { httpGet: { path: '/health', port: 8080, scheme: 'http' }, periodSeconds: 10, failureThreshold: 3 }
          readinessProbe: { httpGet: { path: '/ready', port: 8080, scheme: 'http' }, periodSeconds: 5 }
        }
      }
    ]
  }
  dependsOn: [identityPulls]
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = if (host == 'functions') {
  name: planName
  location: location
  tags: tags
  kind: 'linux'
  sku: { name: 'P0v3', tier: 'Premium0V3', capacity: 1 }
  properties: { reserved: true }
}

resource functions 'Microsoft.Web/sites@2024-11-01' = if (host == 'functions') {
  name: '${namePrefix}inference'
  location: location
  tags: tags
  kind: 'functionapp,linux,container'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: empty(allowedAddresses) ? 'Disabled' : 'Enabled'
    siteConfig: {
      linuxFxVersion: 'DOCKER|${image}'
      acrUseManagedIdentityCreds: true
      acrUserManagedIdentityID: identity!.properties.clientId
      alwaysOn: true
      ftpsState: 'Disabled'
      healthCheckPath: '/health'
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: 'Deny'
      ipSecurityRestrictions: [
        for (address, i) in allowedAddresses: {
          name: 'askers-${i}'
          priority: 100 + i
          action: 'Allow'
          ipAddress: contains(address, '/') ? address : '${address}/32'
        }
      ]
      scmIpSecurityRestrictionsDefaultAction: 'Deny'
      appSettings: [
        { name: 'FUNCTIONS_EXTENSION_VERSION', value: '~4' }
        { name: 'AzureWebJobsSecretStorageType', value: 'files' }
        { name: 'WEBSITES_ENABLE_APP_SERVICE_STORAGE', value: 'false' }
        { name: 'MODEL_KEYS', value: modelKeys }
      ]
    }
  }
  dependsOn: [identityPulls]

  resource noPasswordsForFtp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noPasswordsForScm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

resource groupDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (host == 'containerInstances') {
  name: 'to-log-analytics'
  scope: group
  properties: {
    workspaceId: logsTo
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

resource functionsDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (host == 'functions') {
  name: 'to-log-analytics'
  scope: functions
  properties: {
    workspaceId: logsTo
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

var inContainerInstances = host == 'containerInstances'
var inFunctions = host == 'functions'

output address string = inContainerInstances ? 'http://${group!.properties.ipAddress.ip}:8080/score' : inFunctions ? 'https://${functions!.properties.defaultHostName}/score' : ''
