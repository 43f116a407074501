// Refluent in one resource group and one region. `azd up` deploys it; docs/azure.md walks through it.

targetScope = 'subscription'

@description('Name of the azd environment; part of the resource group\'s name.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region of everything: what talks to each other all day should not pay for distance.')
param location string

@description('Object id of who deploys and operates; azd fills it in. Empty gives nobody a role.')
param principalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Object ids of the identities that devices read models with, separated by commas.')
param devicePrincipalIds string = ''

@description('Containers in which uploads land, separated by commas; hooks/preprovision asks the loop files.')
param landingContainers string = 'landing'

@description('How telemetry reaches the app: an event hub, or Event Grid, which costs nothing while nothing is sent.')
@allowed(['eventHubs', 'eventGrid'])
param telemetry string = 'eventHubs'

@allowed(['S1', 'S2', 'S3'])
param iotHubSku string = 'S1'

@minValue(1)
param iotHubUnits int = 1

@description('Refuse IoT Hub\'s shared access policies. False where devices enrol through Device Provisioning Service, which needs them.')
param refuseHubKeys bool = true

@description('The most instances that the app may have; each event source scales by itself.')
@minValue(1)
@maxValue(1000)
param instancesAtMost int = 40

@allowed([512, 2048, 4096])
param instanceMegabytes int = 2048

@description('Name of the training cluster, as the loop files\' `compute` says.')
param clusterName string = 'cpu-cluster'

param trainingVmSize string = 'Standard_DS3_v2'

@minValue(1)
@maxValue(100)
param trainingNodesAtMost int = 2

@description('The slim edge image by digest, under every model image; empty for no model images.')
param modelImageBase string = ''

@description('Where the model image also runs in the cloud.')
@allowed(['none', 'containerInstances', 'functions', 'kubernetes'])
param inference string = 'none'

@description('The model image by digest.')
param inferenceImage string = ''

@description('MODEL_KEYS of that image.')
param inferenceModelKeys string = ''

@description('Object id of the kubelet identity, for inference on Kubernetes.')
param kubeletPrincipalId string = ''

@description('Private endpoints for storage, vaults, registry and Event Hubs.')
param privateNetworking bool = false

@description('Addresses or ranges that still reach what is private, separated by commas: who deploys, and sites without a VPN.')
param allowedAddresses string = ''

@description('Who is told when something is wrong.')
param alertEmail string = ''

@description('What a month may cost before somebody is told, in the currency of the bill.')
@minValue(1)
param monthlyBudget int = 200

@description('First day of the budget\'s first month; azd keeps what the first deployment chose, for it cannot be changed.')
param budgetStart string = ''

param thisMonth string = utcNow('yyyy-MM-01')

@description('Gigabytes of logs a day, after which no more are taken.')
@minValue(1)
param logGigabytesADay int = 1

@description('Name of a Stack Edge device that is there already; empty for none.')
param stackEdgeName string = ''

param stackEdgeResourceGroup string = ''

@description('Its shares that upload to `landing`, separated by commas.')
param stackEdgeShares string = ''

@description('Stack Edge uploads with an account key. True lets the data account take keys; nothing else in this template does.')
param stackEdgeUploads bool = false

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName, workload: 'refluent' }
var addresses = empty(allowedAddresses) ? [] : map(split(allowedAddresses, ','), address => trim(address))
var throughEventHubs = telemetry == 'eventHubs'

// Names that the code knows too; tests/infra compares them
var loopSchedule = '0 * * * * *'
var reconcileSchedule = '0 */15 * * * *'
var eventHub = 'telemetry'
var consumerGroup = 'drift'
var packageContainer = 'app-package'
var landing = map(split(landingContainers, ','), name => trim(name))
var dataContainers = concat(landing, ['versions', 'manifests', 'outputs', 'models', 'quarantine', 'deadletter'])

var names = {
  actionGroup: '${abbreviations.actionGroup}${token}'
  app: '${abbreviations.functionApp}${token}'
  budget: '${abbreviations.budget}${token}'
  data: '${abbreviations.storageAccount}data${token}'
  eventHubs: '${abbreviations.eventHubsNamespace}${token}'
  host: '${abbreviations.storageAccount}host${token}'
  hub: '${abbreviations.iotHub}${token}'
  inferencePlan: '${abbreviations.functionPlan}inference-${token}'
  insights: '${abbreviations.applicationInsights}${token}'
  logs: '${abbreviations.logAnalytics}${token}'
  network: '${abbreviations.virtualNetwork}${token}'
  plan: '${abbreviations.functionPlan}${token}'
  registry: '${abbreviations.containerRegistry}${token}'
  securityGroup: '${abbreviations.networkSecurityGroup}${token}'
  signingVault: '${abbreviations.keyVault}${token}'
  workspace: '${abbreviations.machineLearning}${token}'
  workspaceAccount: '${abbreviations.storageAccount}ml${token}'
  workspaceVault: '${abbreviations.keyVault}ml-${token}'
  topics: {
    uploads: '${abbreviations.eventGridSystemTopic}uploads-${token}'
    training: '${abbreviations.eventGridSystemTopic}training-${token}'
    devices: '${abbreviations.eventGridSystemTopic}devices-${token}'
    announcements: '${abbreviations.eventGridTopic}${token}'
  }
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${abbreviations.resourceGroup}${environmentName}'
  location: location
  tags: tags
}

module identities 'modules/identities.bicep' = {
  scope: group
  params: { location: location, tags: tags, prefix: '${abbreviations.identity}${token}-' }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceName: names.logs
    insightsName: names.insights
    gigabytesADay: logGigabytesADay
  }
}

module customRoles 'modules/custom-roles.bicep' = {
  scope: group
  params: { token: token }
}

module hostAccount 'modules/storage.bicep' = {
  name: 'host-account'
  scope: group
  params: {
    location: location
    tags: tags
    name: names.host
    logsTo: monitoring.outputs.workspaceId
    containers: [packageContainer]
    versioning: false // leases and checkpoints change every few seconds
    public: !privateNetworking
    allowedAddresses: addresses
  }
}

module dataAccount 'modules/storage.bicep' = {
  name: 'data-account'
  scope: group
  params: {
    location: location
    tags: tags
    name: names.data
    logsTo: monitoring.outputs.workspaceId
    containers: dataContainers
    // Admitted files are kept in `versions`, as long as a model that was trained on them may have to be explained
    daysKept: union(toObject(landing, name => name, name => 365), { outputs: 90, quarantine: 180, deadletter: 90 })
    daysHot: { versions: 90 }
    allowSharedKey: stackEdgeUploads
    public: !privateNetworking
    allowedAddresses: addresses
  }
}

module workspaceAccount 'modules/storage.bicep' = {
  name: 'workspace-account'
  scope: group
  params: {
    location: location
    tags: tags
    name: names.workspaceAccount
    logsTo: monitoring.outputs.workspaceId
    containers: [] // the workspace makes its own
    public: !privateNetworking
    allowedAddresses: addresses
  }
}

module signingVault 'modules/vault.bicep' = {
  name: 'signing-vault'
  scope: group
  params: {
    location: location
    tags: tags
    name: names.signingVault
    logsTo: monitoring.outputs.workspaceId
    public: !privateNetworking
    allowedAddresses: addresses
  }
}

module workspaceVault 'modules/vault.bicep' = {
  name: 'workspace-vault'
  scope: group
  params: {
    location: location
    tags: tags
    name: names.workspaceVault
    logsTo: monitoring.outputs.workspaceId
    public: !privateNetworking
    allowedAddresses: addresses
  }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.registry
    logsTo: monitoring.outputs.workspaceId
    private: privateNetworking
    allowedAddresses: addresses
  }
}

module eventHubs 'modules/event-hubs.bicep' = if (throughEventHubs) {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.eventHubs
    logsTo: monitoring.outputs.workspaceId
    public: !privateNetworking
    hub: eventHub
    consumerGroup: consumerGroup
  }
}

module serviceRoles 'modules/service-roles.bicep' = {
  scope: group
  params: {
    deliveryPrincipalId: identities.outputs.deliveryPrincipalId
    workspacePrincipalId: identities.outputs.workspacePrincipalId
    dataAccountName: dataAccount.outputs.name
    workspaceAccountName: workspaceAccount.outputs.name
    workspaceVaultName: workspaceVault.outputs.name
    registryName: registry.outputs.name
    insightsName: monitoring.outputs.insightsName
    throughEventHubs: throughEventHubs
    eventHubsNamespaceName: names.eventHubs
    eventHub: eventHub
    workspaceServiceRoleId: customRoles.outputs.workspaceServiceId
    private: privateNetworking
  }
  dependsOn: [eventHubs]
}

module hub 'modules/iot-hub.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.hub
    logsTo: monitoring.outputs.workspaceId
    sku: iotHubSku
    units: iotHubUnits
    refuseKeys: refuseHubKeys
    deliveryIdentityId: identities.outputs.deliveryId
    eventHubsNamespace: throughEventHubs ? eventHubs!.outputs.name : ''
    eventHub: eventHub
  }
  dependsOn: [serviceRoles] // the hub tries its route at once
}

module workspace 'modules/workspace.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.workspace
    logsTo: monitoring.outputs.workspaceId
    workspaceIdentityId: identities.outputs.workspaceId
    trainingIdentityId: identities.outputs.trainingId
    accountId: workspaceAccount.outputs.id
    vaultId: workspaceVault.outputs.id
    registryId: registry.outputs.id
    insightsId: monitoring.outputs.insightsId
    dataAccountName: dataAccount.outputs.name
    dataAccountId: dataAccount.outputs.id
    landingContainers: landing
    private: privateNetworking
    clusterName: clusterName
    vmSize: trainingVmSize
    nodesAtMost: trainingNodesAtMost
  }
  dependsOn: [serviceRoles] // it makes its containers as it is made
}

module topics 'modules/topics.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    names: names.topics
    logsTo: monitoring.outputs.workspaceId
    deliveryIdentityId: identities.outputs.deliveryId
    dataAccountId: dataAccount.outputs.id
    workspaceId: workspace.outputs.id
    iotHubId: hub.outputs.id
  }
}

module roles 'modules/roles.bicep' = {
  scope: group
  params: {
    appPrincipalId: identities.outputs.appPrincipalId
    trainingPrincipalId: identities.outputs.trainingPrincipalId
    workspacePrincipalId: identities.outputs.workspacePrincipalId
    operatorPrincipalId: principalId
    operatorPrincipalType: principalType
    devicePrincipalIds: empty(devicePrincipalIds) ? [] : map(split(devicePrincipalIds, ','), id => trim(id))
    hostAccountName: hostAccount.outputs.name
    dataAccountName: dataAccount.outputs.name
    landingContainers: landing
    workspaceAccountName: workspaceAccount.outputs.name
    signingVaultName: signingVault.outputs.name
    registryName: registry.outputs.name
    workspaceName: workspace.outputs.name
    iotHubName: hub.outputs.name
    topicName: topics.outputs.announcementsName
    insightsName: monitoring.outputs.insightsName
    throughEventHubs: throughEventHubs
    eventHubsNamespaceName: names.eventHubs
    eventHub: eventHub
    buildsImages: !empty(modelImageBase)
    fleetDeployerRoleId: customRoles.outputs.fleetDeployerId
    imageBuilderRoleId: customRoles.outputs.imageBuilderId
    workspaceServiceRoleId: customRoles.outputs.workspaceServiceId
  }
  dependsOn: [eventHubs]
}

module network 'modules/network.bicep' = if (privateNetworking || inference == 'containerInstances') {
  scope: group
  params: { location: location, tags: tags, name: names.network, securityGroupName: names.securityGroup }
}

module privateEndpoints 'modules/private-endpoints.bicep' = if (privateNetworking) {
  scope: group
  params: {
    location: location
    tags: tags
    prefix: abbreviations.privateEndpoint
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointsSubnetId
    hostAccountId: hostAccount.outputs.id
    dataAccountId: dataAccount.outputs.id
    signingVaultId: signingVault.outputs.id
    registryId: registry.outputs.id
    eventHubsId: throughEventHubs ? eventHubs!.outputs.id : ''
  }
}

var telemetryHost = throughEventHubs ? '${names.eventHubs}.servicebus.windows.net' : '${names.hub}.azure-devices.net'

module app 'modules/app.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    name: names.app
    planName: names.plan
    logsTo: monitoring.outputs.workspaceId
    identityId: identities.outputs.appId
    identityClientId: identities.outputs.appClientId
    hostAccountName: hostAccount.outputs.name
    hostBlobEndpoint: hostAccount.outputs.blobEndpoint
    packageContainer: packageContainer
    insightsName: monitoring.outputs.insightsName
    signingVaultUri: signingVault.outputs.uri
    instancesAtMost: instancesAtMost
    instanceMegabytes: instanceMegabytes
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    allowedAddresses: addresses
    settings: {
      DATA_BLOB_ENDPOINT: dataAccount.outputs.blobEndpoint
      DATA_TABLE_ENDPOINT: dataAccount.outputs.tableEndpoint
      DATA_ACCOUNT_ID: dataAccount.outputs.id
      AZUREML_WORKSPACE_ID: workspace.outputs.id
      EVENT_TOPIC_ENDPOINT: topics.outputs.announcementsEndpoint
      IOTHUB_HOSTNAME: hub.outputs.hostName
      IOTHUB_ID: hub.outputs.id
      LOOPS_FOLDER: 'loops'
      LOOP_SCHEDULE: loopSchedule
      RECONCILE_SCHEDULE: reconcileSchedule
      REQUESTS_AT_ONCE: '8'
      AZURE_RESOURCE_MANAGER_ENDPOINT: environment().resourceManager
      PYTHON_ENABLE_OPENTELEMETRY: 'true'
      TELEMETRY_EVENT_HUB: eventHub
      TELEMETRY_CONSUMER_GROUP: consumerGroup
      // Without Event Hubs the function is off; the host reads the setting all the same
      Telemetry__fullyQualifiedNamespace: telemetryHost
      Telemetry__credential: 'managedidentity'
      Telemetry__clientId: identities.outputs.appClientId
      'AzureWebJobs.score_drift_on_telemetry.Disabled': throughEventHubs ? 'false' : 'true'
      'AzureWebJobs.score_drift_on_device_event.Disabled': throughEventHubs ? 'true' : 'false'
      // A blank setting is a missing one: without a base image no model image is made
      CONTAINER_REGISTRY_ID: empty(modelImageBase) ? '' : registry.outputs.id
      CONTAINER_REGISTRY_LOGIN_SERVER: empty(modelImageBase) ? '' : registry.outputs.loginServer
      MODEL_IMAGE_BASE: modelImageBase
    }
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    prefix: '${abbreviations.alert}${token}-'
    actionGroupName: names.actionGroup
    email: alertEmail
    logsIn: monitoring.outputs.workspaceId
    topicIds: [
      topics.outputs.uploadsId
      topics.outputs.trainingId
      topics.outputs.devicesId
      topics.outputs.announcementsId
    ]
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  params: { location: location, tags: tags, logsIn: monitoring.outputs.workspaceId }
}

var firstMonth = empty(budgetStart) ? thisMonth : budgetStart

module budget 'modules/budget.bicep' = {
  scope: group
  params: {
    name: names.budget
    amount: monthlyBudget
    start: firstMonth
    actionGroupId: alerts.outputs.actionGroupId
  }
}

module inferenceInTheCloud 'modules/inference.bicep' = if (inference != 'none') {
  scope: group
  params: {
    location: location
    tags: tags
    namePrefix: inference == 'functions' ? '${abbreviations.functionApp}${token}-' : '${abbreviations.containerGroup}${token}-'
    planName: names.inferencePlan
    identityName: '${abbreviations.identity}${token}-inference'
    logsTo: monitoring.outputs.workspaceId
    host: inference
    image: inferenceImage
    modelKeys: inferenceModelKeys
    registryName: registry.outputs.name
    subnetId: inference == 'containerInstances' ? network!.outputs.inferenceSubnetId : ''
    allowedAddresses: addresses
    kubeletPrincipalId: kubeletPrincipalId
  }
}

module stackEdge 'modules/stack-edge.bicep' = if (!empty(stackEdgeName)) {
  scope: resourceGroup(empty(stackEdgeResourceGroup) ? group.name : stackEdgeResourceGroup)
  params: {
    deviceName: stackEdgeName
    shareNames: empty(stackEdgeShares) ? [] : map(split(stackEdgeShares, ','), share => trim(share))
  }
}

// azd keeps these in its environment: the hooks read them, and so does `refluent`, whose settings have the same names
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_LOCATION string = location
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.loginServer
output BUDGET_START string = firstMonth
output APP_CLIENT_ID string = identities.outputs.appClientId
output FUNCTION_APP_ID string = app.outputs.id
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = 'https://${app.outputs.hostName}'
output SIGNING_VAULT_URI string = signingVault.outputs.uri
output DELIVERY_IDENTITY_ID string = identities.outputs.deliveryId
output UPLOADS_TOPIC_NAME string = names.topics.uploads
output TRAINING_TOPIC_NAME string = names.topics.training
output DEVICES_TOPIC_NAME string = names.topics.devices
output ANNOUNCEMENTS_TOPIC_NAME string = names.topics.announcements
output TELEMETRY_BY_EVENT_GRID bool = !throughEventHubs
output DATA_BLOB_ENDPOINT string = dataAccount.outputs.blobEndpoint
output DATA_TABLE_ENDPOINT string = dataAccount.outputs.tableEndpoint
output DATA_ACCOUNT_ID string = dataAccount.outputs.id
output AZUREML_WORKSPACE_ID string = workspace.outputs.id
output EVENT_TOPIC_ENDPOINT string = topics.outputs.announcementsEndpoint
output IOTHUB_HOSTNAME string = hub.outputs.hostName
output IOTHUB_ID string = hub.outputs.id
output LOOP_SCHEDULE string = loopSchedule
output RECONCILE_SCHEDULE string = reconcileSchedule
output TELEMETRY_EVENT_HUB string = eventHub
output TELEMETRY_CONSUMER_GROUP string = consumerGroup
output Telemetry__fullyQualifiedNamespace string = telemetryHost
output CONTAINER_REGISTRY_ID string = empty(modelImageBase) ? '' : registry.outputs.id
output CONTAINER_REGISTRY_LOGIN_SERVER string = empty(modelImageBase) ? '' : registry.outputs.loginServer
output MODEL_IMAGE_BASE string = modelImageBase
output INFERENCE_ADDRESS string = inference == 'none' ? '' : inferenceInTheCloud!.outputs.address
output STACK_EDGE_UPLOADS array = empty(stackEdgeName) ? [] : stackEdge!.outputs.uploads
