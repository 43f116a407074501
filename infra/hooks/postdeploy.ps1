# After the app is there: what needs its functions, and what a workspace and a hub are told once.
$ErrorActionPreference = 'Stop'
.venv/Scripts/python.exe -m training.register_components
if ($LASTEXITCODE -ne 0) { throw 'the pipeline was not published' }
$landing = .venv/Scripts/python.exe -m infra.steps.landing
if ($LASTEXITCODE -ne 0) { throw 'the loop files are not usable' }
# A function shows up some time after its package; until then Event Grid refuses to subscribe it
foreach ($try in 1..5) {
  az deployment group create --only-show-errors --output none `
    --name refluent-subscriptions --subscription $env:AZURE_SUBSCRIPTION_ID --resource-group $env:AZURE_RESOURCE_GROUP `
    --template-file infra/subscriptions.bicep `
    --parameters "functionAppName=$env:FUNCTION_APP_NAME" "uploadsTopicName=$env:UPLOADS_TOPIC_NAME" `
    "trainingTopicName=$env:TRAINING_TOPIC_NAME" "devicesTopicName=$env:DEVICES_TOPIC_NAME" `
    "announcementsTopicName=$env:ANNOUNCEMENTS_TOPIC_NAME" "deliveryIdentityId=$env:DELIVERY_IDENTITY_ID" `
    "dataAccountId=$env:DATA_ACCOUNT_ID" "landingContainers=$landing" "telemetryByEventGrid=$env:TELEMETRY_BY_EVENT_GRID"
  if ($LASTEXITCODE -eq 0) { break }
  if ($try -eq 5) { throw 'the subscriptions were refused five times; see the reason above' }
  Write-Output "not yet; try $try of 5, the next one in 30 seconds"
  Start-Sleep -Seconds 30
}
Write-Output 'events are subscribed'
.venv/Scripts/python.exe -m infra.steps.base_deployments
if ($LASTEXITCODE -ne 0) { throw 'the base deployments were not made' }
# It asks with your rights and looks up the app's; a right that was given minutes ago may still be missing somewhere
$env:AZURE_CLIENT_ID = $env:APP_CLIENT_ID
.venv/Scripts/refluent.exe doctor --azure
if ($LASTEXITCODE -ne 0) { Write-Output 'see above; refluent doctor --azure asks again' }
exit 0
