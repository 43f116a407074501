// Who wakes on what. Deployed after the app by hooks/postdeploy: Event Grid refuses a subscription whose function is not there.
// laptop/subscriptions.py says the same for a stack; tests/infra compares the two with the functions of function_app.py.

param functionAppName string
param uploadsTopicName string
param trainingTopicName string
param devicesTopicName string
param announcementsTopicName string

param deliveryIdentityId string
param dataAccountId string

@description('Containers in which uploads land: `landing` and what loop files name besides.')
param landingContainers string

@description('Deliver telemetry by Event Grid; otherwise the app reads it from an event hub.')
param telemetryByEventGrid bool

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource uploads 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: uploadsTopicName
}

resource training 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: trainingTopicName
}

resource devices 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: devicesTopicName
}

resource announcements 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: announcementsTopicName
}

// A day of tries, then the event is laid down where `refluent replay` finds it
var patience = { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }

var lettersInto = {
  identity: { type: 'UserAssigned', userAssignedIdentity: deliveryIdentityId }
  deadLetterDestination: {
    endpointType: 'StorageBlob'
    properties: { resourceId: dataAccountId, blobContainerName: 'deadletter' }
  }
}

// An answer is all or nothing for its batch, so batches are small
var eventsAtOnce = 20

resource countUploadOnBlobCreated 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: uploads
  name: 'count-upload-on-blob-created'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/count_upload_on_blob_created'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      advancedFilters: [
        {
          operatorType: 'StringBeginsWith'
          key: 'subject'
          values: map(split(landingContainers, ','), name => '/blobServices/default/containers/${trim(name)}/')
        }
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}

resource judgeOnRunEnded 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: training
  name: 'judge-on-run-ended'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/judge_on_run_ended'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.MachineLearningServices.RunCompleted'
        'Microsoft.MachineLearningServices.RunStatusChanged'
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}

resource deployOnModelRegistered 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: training
  name: 'deploy-on-model-registered'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/deploy_on_model_registered'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: { includedEventTypes: ['Microsoft.MachineLearningServices.ModelRegistered'] }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}

resource scoreDriftOnDeviceEvent 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (telemetryByEventGrid) {
  parent: devices
  name: 'score-drift-on-device-event'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/score_drift_on_device_event'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: { includedEventTypes: ['Microsoft.Devices.DeviceTelemetry'] }
    eventDeliverySchema: 'EventGridSchema'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}

resource requestRetrainingOnDrift 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
  parent: announcements
  name: 'request-retraining-on-drift'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/request_retraining_on_drift'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: { includedEventTypes: ['Refluent.DriftDetected'] }
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}

resource requestRetrainingOnCodeChange 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
  parent: announcements
  name: 'request-retraining-on-code-change'
  properties: {
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: '${app.id}/functions/request_retraining_on_code_change'
        maxEventsPerBatch: eventsAtOnce
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: { includedEventTypes: ['Refluent.TrainingCodeChanged'] }
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    retryPolicy: patience
    deadLetterWithResourceIdentity: lettersInto
  }
}
