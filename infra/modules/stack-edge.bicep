// A Stack Edge device that is there already, and those of its shares that upload to our data account. Nothing of it is made or
// changed here: ordering a device is a matter of weeks, and a share holds a storage credential that this template never sees.

param deviceName string

@description('Shares to look up, by name.')
param shareNames string[]

resource device 'Microsoft.DataBoxEdge/dataBoxEdgeDevices@2023-12-01' existing = {
  name: deviceName

  resource share 'shares' existing = [for name in shareNames: {
    name: name
  }]
}

output id string = device.id
output region string = device.location

@description('Where each share uploads to; deploying fails here if a share that is named does not exist.')
output uploads array = [for (name, i) in shareNames: {
  share: name
  container: device::share[i].properties.?azureContainerInfo.?containerName ?? 'none: the share stays on the device'
}]
