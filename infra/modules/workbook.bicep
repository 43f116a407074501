// One page over the signals of docs/operations.md.

param location string
param tags object

@description('The Log Analytics workspace behind Application Insights.')
param logsIn string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'refluent-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Refluent'
    category: 'workbook'
    sourceId: logsIn
    version: 'Notebook/1.0'
    serializedData: loadTextContent('../workbook.json')
  }
}

output id string = workbook.id
