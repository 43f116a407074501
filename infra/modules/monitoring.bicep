// Where logs and metrics go: one workspace with a daily cap, and Application Insights that takes Entra tokens only.

param location string
param tags object
param workspaceName string
param insightsName string

@description('Gigabytes a day, after which nothing more is taken until the next day: a loop of errors costs no fortune.')
@minValue(1)
param gigabytesADay int

@minValue(30)
@maxValue(730)
param daysKept int = 30

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: daysKept
    workspaceCapping: { dailyQuotaGb: gigabytesADay }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

// The cap is of no use if nobody learns that it was reached
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: workspace
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'audit', enabled: true }]
  }
}

output workspaceId string = workspace.id
output insightsId string = insights.id
output insightsName string = insights.name
