// The container registry: training environments, edge images, model images.

param location string
param tags object
param name string
param logsTo string

@description('Premium is needed for private endpoints, and for nothing else here.')
param private bool

@description('Addresses or ranges that may still pull when the registry is private: sites without a VPN.')
param allowedAddresses string[]

var onlyTheAllowed = {
  defaultAction: 'Deny'
  ipRules: [for address in allowedAddresses: { value: address, action: 'Allow' }]
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: private ? 'Premium' : 'Standard' }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: private && empty(allowedAddresses) ? 'Disabled' : 'Enabled'
    networkRuleSet: private ? onlyTheAllowed : null
    networkRuleBypassOptions: 'AzureServices'
    networkRuleBypassAllowedForTasks: private // the registry's own builds come from outside any network
    // The registry's own builds push what they build without a role of their own; with permissions by repository they would not
    roleAssignmentMode: 'LegacyRegistryPermissions'
    // Container Instances, App Service and training clusters pull with tokens meant for Azure Resource Manager
    policies: { azureADAuthenticationAsArmPolicy: { status: 'enabled' } }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: registry
  properties: {
    workspaceId: logsTo
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = registry.id
output name string = registry.name
output loginServer string = registry.properties.loginServer
