// A network of our own: one subnet for the app, one for private endpoints, one for inference in the cloud.

param location string
param tags object
param name string
param securityGroupName string

@description('Three subnets of 256 addresses each are cut from it.')
param addresses string = '10.20.0.0/22'

resource closed 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: securityGroupName
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'nothing-from-the-internet'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addresses] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addresses, 24, 0)
          networkSecurityGroup: { id: closed.id }
          delegations: [
            { name: 'flex-consumption', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addresses, 24, 1)
          networkSecurityGroup: { id: closed.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
      {
        name: 'inference'
        properties: {
          addressPrefix: cidrSubnet(addresses, 24, 2)
          networkSecurityGroup: { id: closed.id }
          delegations: [
            { name: 'container-instances', properties: { serviceName: 'Microsoft.ContainerInstance/containerGroups' } }
          ]
        }
      }
    ]
  }
}

var subnets = 'Microsoft.Network/virtualNetworks/subnets'

output networkId string = network.id
output appSubnetId string = resourceId(subnets, network.name, 'app')
output endpointsSubnetId string = resourceId(subnets, network.name, 'endpoints')
output inferenceSubnetId string = resourceId(subnets, network.name, 'inference')
