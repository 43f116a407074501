// Three small roles where every built-in one would give more than is used.

param token string

@description('What HubFleet asks of IoT Hub: configurations, and queries over twins. No device keys, no direct methods.')
resource fleetDeployer 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'fleet-deployer')
  properties: {
    roleName: 'Refluent fleet deployer (${token})'
    description: 'Reads, creates and deletes IoT Hub configurations; reads twins, which is also what a twin query needs.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: []
        dataActions: [
          'Microsoft.Devices/IotHubs/configurations/read'
          'Microsoft.Devices/IotHubs/configurations/write'
          'Microsoft.Devices/IotHubs/configurations/delete'
          'Microsoft.Devices/IotHubs/twins/read'
        ]
      }
    ]
  }
}

@description('What RegistryImages asks of Container Registry: named builds. It neither pulls nor pushes, nor deletes a build.')
resource imageBuilder 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'image-builder')
  properties: {
    roleName: 'Refluent image builder (${token})'
    description: 'Uploads the source of a build, and starts and reads named task runs.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.ContainerRegistry/registries/read'
          'Microsoft.ContainerRegistry/registries/listBuildSourceUploadUrl/action'
          'Microsoft.ContainerRegistry/registries/scheduleRun/action'
          'Microsoft.ContainerRegistry/registries/taskRuns/read'
          'Microsoft.ContainerRegistry/registries/taskRuns/write'
        ]
        dataActions: []
      }
    ]
  }
}

@description('What Azure Machine Learning needs of its own account, vault, registry and workspace. Its documentation says Contributor; this deletes nothing, lists no keys and changes no setting.')
resource workspaceService 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'workspace-service')
  properties: {
    roleName: 'Refluent workspace service (${token})'
    description: 'Reads the resources under an Azure Machine Learning workspace, makes containers and shares, builds and pushes environments.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.Storage/storageAccounts/read'
          'Microsoft.Storage/storageAccounts/blobServices/read'
          'Microsoft.Storage/storageAccounts/blobServices/containers/read'
          'Microsoft.Storage/storageAccounts/blobServices/containers/write'
          'Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action'
          'Microsoft.Storage/storageAccounts/fileServices/read'
          'Microsoft.Storage/storageAccounts/fileServices/shares/read'
          'Microsoft.Storage/storageAccounts/fileServices/shares/write'
          'Microsoft.KeyVault/vaults/read'
          'Microsoft.ContainerRegistry/registries/read'
          'Microsoft.ContainerRegistry/registries/pull/read'
          'Microsoft.ContainerRegistry/registries/push/write'
          'Microsoft.ContainerRegistry/registries/listBuildSourceUploadUrl/action'
          'Microsoft.ContainerRegistry/registries/scheduleRun/action'
          'Microsoft.ContainerRegistry/registries/runs/read'
          'Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action'
          'Microsoft.Insights/components/read'
          'Microsoft.MachineLearningServices/workspaces/*/read'
        ]
        dataActions: []
      }
    ]
  }
}

output fleetDeployerId string = fleetDeployer.id
output imageBuilderId string = imageBuilder.id
output workspaceServiceId string = workspaceService.id
