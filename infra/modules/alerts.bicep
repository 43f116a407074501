// What somebody should be told of. docs/operations.md names the signals; docs/runbook.md says what to do about each alert.

param location string
param tags object
param prefix string
param actionGroupName string

@description('Who is told; without an address the alerts show in the portal alone.')
param email string

@description('The Log Analytics workspace behind Application Insights.')
param logsIn string

@description('Every Event Grid topic with a subscription of ours.')
param topicIds string[]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'refluent'
    enabled: true
    emailReceivers: empty(email) ? [] : [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

// An event that could not be delivered for a day lies in `deadletter`; one is enough to look
resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for (topic, i) in topicIds: {
    name: '${prefix}dead-letters-${i}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Event Grid gave up an event of ${last(split(topic, '/'))}; it lies in the container deadletter.'
      severity: 1
      enabled: true
      scopes: [topic]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'dead-lettered'
            criterionType: 'StaticThresholdCriterion'
            metricName: 'DeadLetteredCount'
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      actions: [{ actionGroupId: people.id }]
    }
  }
]

// Each query gives one row for what is wrong, and none while nothing is
var questions = [
  {
    name: 'quarantine-rate'
    severity: 2
    title: 'More than one message in twenty is set aside, and at least five'
    query: 'AppMetrics | where Name == "refluent.messages" | extend outcome = tostring(Properties["outcome"]) | summarize all = sum(Sum), bad = sumif(Sum, outcome == "quarantined") | where bad >= 5 and bad > 0.05 * all'
  }
  {
    name: 'drift'
    severity: 2
    title: 'A device, a site or the whole fleet sees other data than its model was trained on'
    query: 'AppMetrics | where Name == "refluent.decisions" and tostring(Properties["slice"]) == "drift" and tostring(Properties["decision"]) == "Tell" | summarize episodes = sum(Sum) by tostring(Properties["loop"]) | where episodes > 0'
  }
  {
    name: 'held-budget'
    severity: 2
    title: 'A training job is due and the budget forbids it'
    query: 'AppMetrics | where Name == "refluent.budget.held" | summarize held = max(Max) by tostring(Properties["loop"]) | where held >= 1'
  }
  {
    name: 'failed-rollout'
    severity: 1
    title: 'A rollout was paused or taken back'
    query: 'AppMetrics | where Name == "refluent.decisions" and tostring(Properties["decision"]) in ("Pause", "RollBack") | summarize times = sum(Sum) by tostring(Properties["loop"]), tostring(Properties["decision"]) | where times > 0'
  }
  {
    name: 'stalled-rollout'
    severity: 2
    title: 'A version has been on its way for long, and waits for something that may be a person'
    query: 'AppMetrics | where Name == "refluent.decisions" and tostring(Properties["slice"]) == "rollout" and tostring(Properties["decision"]) == "Stall" | summarize times = sum(Sum) by tostring(Properties["loop"]) | where times > 0'
  }
  {
    name: 'telemetry-gap'
    severity: 3
    title: 'Messages of a device did not come'
    query: 'AppTraces | where tostring(Properties["refluent.decision"]) == "Gap" | project TimeGenerated, loop = tostring(Properties["refluent.loop"]), device = tostring(Properties["refluent.subject"]), Message'
  }
  {
    name: 'failed-functions'
    severity: 1
    title: 'A function failed more than five times in a quarter of an hour'
    query: 'AppRequests | where Success == false | summarize failures = sum(ItemCount) by OperationName | where failures > 5'
  }
]

resource question 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for one in questions: {
    name: '${prefix}${one.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: one.title
      description: 'docs/runbook.md, "${one.name}"'
      severity: one.severity
      enabled: true
      scopes: [logsIn]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT15M'
      criteria: {
        allOf: [
          {
            query: one.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [people.id] }
      autoMitigate: true
      skipQueryValidation: true // on a new workspace the tables are not there yet
    }
  }
]

// Silence is no success: timers wake every minute
resource silence 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${prefix}silence'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'The function app has done nothing for half an hour'
    description: 'docs/runbook.md, "silence"'
    severity: 1
    enabled: true
    scopes: [logsIn]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    criteria: {
      allOf: [
        {
          query: 'AppRequests | where OperationName endswith "_on_timer"'
          timeAggregation: 'Count'
          operator: 'LessThan'
          threshold: 1
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: [people.id] }
    autoMitigate: true
    skipQueryValidation: true
  }
}

output actionGroupId string = people.id
