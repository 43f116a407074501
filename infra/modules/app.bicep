// The function app on Flex Consumption: no server, no key, a cap on instances.

param location string
param tags object
param name string
param planName string
param logsTo string

param identityId string
param identityClientId string

@description('The Functions host\'s own account; the package lies in one of its containers.')
param hostAccountName string
param hostBlobEndpoint string
param packageContainer string

param insightsName string
param signingVaultUri string

@description('The settings of functions/settings.py and of the triggers, by name.')
param settings object

@minValue(1)
@maxValue(1000)
param instancesAtMost int

@allowed([512, 2048, 4096])
param instanceMegabytes int

@description('Subnet of the app; empty without private networking.')
param subnetId string

@description('Addresses or ranges that may ask the app\'s own endpoints when they are not public.')
param allowedAddresses string[]

var private = !empty(subnetId)

var eventGrid = [
  {
    name: 'event-grid'
    priority: 100
    action: 'Allow'
    tag: 'ServiceTag'
    ipAddress: 'AzureEventGrid'
  }
]

var operators = [
  for (address, i) in allowedAddresses: {
    name: 'operators-${i}'
    priority: 200 + i
    action: 'Allow'
    ipAddress: contains(address, '/') ? address : '${address}/32'
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'backend' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    publicNetworkAccess: 'Enabled' // Event Grid delivers from outside any network of ours
    virtualNetworkSubnetId: private ? subnetId : null
    // No ftpsState, alwaysOn or the like: Flex Consumption has no such thing, and refuses the whole site for the word (51021)
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: private ? 'Deny' : 'Allow'
      ipSecurityRestrictions: private ? concat(eventGrid, operators) : []
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: private ? 'Deny' : 'Allow'
      scmIpSecurityRestrictions: private ? operators : []
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostBlobEndpoint}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMegabytes
        maximumInstanceCount: instancesAtMost
      }
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(settings, {
      AzureWebJobsStorage__accountName: hostAccountName
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identityClientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
      AZURE_CLIENT_ID: identityClientId
      MODEL_SIGNING_KEY: '@Microsoft.KeyVault(SecretUri=${signingVaultUri}secrets/model-signing-key)'
    })
  }

  resource noPasswordsForFtp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noPasswordsForScm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: app
  properties: {
    workspaceId: logsTo
    // The functions' own logs go to Application Insights; a second copy would only cost
    logs: [{ category: 'AppServiceAuthenticationLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = app.id
output name string = app.name
output hostName string = app.properties.defaultHostName
